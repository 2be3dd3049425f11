# SPDX-License-Identifier: Apache-2.0
"""The merged model answers the validation problems in vLLM, greedily, as the trainer's rollout engine did."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_df.lab.checkpoint.validation import Solved
from verl_df.lab.generation import Generator, Request, VLLMGenerator, prompt_text
from verl_df.lab.rl_data import Prompt, RLData
from verl_df.lab.task_reward import Answer, TaskReward


@dataclass(frozen=True)
class ValidationSettings:
    """What the trainer's validation was run with.

    data: data.val_files. max_tokens: data.max_response_length. reward_path, reward_name: of
    reward.custom_reward_function; no path: verl's default. max_model_len, dtype: of the rollout; engine: further
    arguments of `vllm.LLM`.
    """

    data: Path
    max_tokens: int
    reward_path: str | None = None
    reward_name: str = "compute_score"
    max_model_len: int | None = None
    dtype: str = "auto"
    engine: dict[str, Any] = field(default_factory=dict)


def solve(merged: Path, settings: ValidationSettings) -> list[Solved]:
    """Answer every row of the data and judge the answers.

    Raises:
        FileNotFoundError, ValueError: of the data, the reward or the model.
    """
    if settings.max_tokens < 1:
        raise ValueError(f"--max-tokens is {settings.max_tokens}: at least 1")
    source = RLData(settings.data)
    source.check(range(source.rows))
    prompts = list(source.prompts(range(source.rows)))
    reward = TaskReward(settings.reward_path, settings.reward_name)
    options = {"max_model_len": settings.max_model_len, "dtype": settings.dtype, **settings.engine}
    with VLLMGenerator(str(merged), **options) as generator:
        outputs = _outputs(generator, prompts, settings.max_tokens)
        texts = [_shown(generator, prompt) for prompt in prompts]
    rights = reward.score(
        [
            Answer(prompt.data_source, output, prompt.ground_truth, prompt.extra_info)
            for prompt, output in zip(prompts, outputs, strict=True)
        ]
    )
    return [
        Solved(prompt.index, prompt.data_source, text, str(prompt.ground_truth), output, right)
        for prompt, text, output, right in zip(prompts, texts, outputs, rights, strict=True)
    ]


def _outputs(generator: Generator, prompts: list[Prompt], max_tokens: int) -> list[str]:
    requests = [Request(prompt.messages, prompt.pictures()) for prompt in prompts]
    answers = generator.generate(requests, n=1, temperature=0.0, max_tokens=max_tokens, seed=0)
    return [answer[0].text for answer in answers]


def _shown(generator: VLLMGenerator, prompt: Prompt) -> str:
    """The prompt as verl decodes it: chat form, without special tokens."""
    text = prompt_text(generator.processor, prompt.messages, len(prompt.images))
    ids = generator.tokenizer.encode(text, add_special_tokens=False)
    return generator.tokenizer.decode(ids, skip_special_tokens=True)
