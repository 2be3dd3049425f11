# SPDX-License-Identifier: Apache-2.0
"""The task reward r_task by a model behind an endpoint, for tasks whose answers no rule can compare."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from verl_df.io.validation import checked
from verl_df.judges.answer_form import typed_field, verdicts
from verl_df.judges.endpoint import Endpoint, EndpointConfig, EndpointFailure
from verl_df.judges.final_answer import compute_score
from verl_df.prompts import JUDGE_FILE, JUDGE_PLACEHOLDERS, read_template, render
from verl_df.prompts.fence import fenced

# The reason comes first: a model that has to write it down before the verdict judges better.
SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 300}, "correct": {"type": "boolean"}},
    "required": ["reason", "correct"],
    "additionalProperties": False,
}


@checked
class JudgeConfig:
    """The LLM judge.

    Attributes:
        endpoint: the model that judges.
        prompt_template: file with {question}, {ground_truth} and {response}; null: the packaged `judge.txt`. Each text
            is put in between a line BEGIN and a line END (docs/security.md).
        on_failure: r_task of a response that could not be judged: `wrong`: 0 (our reading: nothing is reinforced that
            nobody found right); `rule`: what `final_answer` says.
    """

    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    prompt_template: str | None = None
    on_failure: Literal["wrong", "rule"] = "wrong"


@dataclass(frozen=True)
class Verdict:
    """r_task: 0.0 or 1.0. failure: why the model did not judge (a `FailureReason`), None where it did."""

    r_task: float
    failure: str | None


class LLMJudge:
    """Asks the endpoint whether a response is right.

    Raises:
        FileNotFoundError, ValueError: a template that is missing or lacks a placeholder; no endpoint; no key.
    """

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
        self.endpoint = Endpoint(config.endpoint)
        path = Path(config.prompt_template) if config.prompt_template else JUDGE_FILE
        self._template = read_template(path, JUDGE_PLACEHOLDERS)

    async def judge(self, question: str, images: Sequence[Image.Image], response: str, ground_truth: str) -> Verdict:
        """r_task of one response. Never raises for trouble with the endpoint: `on_failure` says what counts then."""
        values = {"question": question, "ground_truth": ground_truth, "response": response}
        try:
            prompt = render(self._template, fenced(values))
            correct = await self.endpoint.ask(prompt, images, parse_verdict, SCHEMA)
        except EndpointFailure as failure:
            return Verdict(await self._without_model(response, ground_truth), failure.reason.value)
        return Verdict(float(correct), None)

    async def _without_model(self, response: str, ground_truth: str) -> float:
        if self.config.on_failure == "wrong":
            return 0.0
        # In a thread: one comparison may take seconds.
        return (await asyncio.to_thread(compute_score, "", response, ground_truth))["acc"]


def parse_verdict(text: str) -> bool:
    """The judge's verdict; of several, true where all are.

    Raises: ValueError where the text holds no object with a boolean "correct".
    """
    return all(typed_field(one, "correct", bool) for one in verdicts(text, "correct"))
