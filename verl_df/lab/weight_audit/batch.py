# SPDX-License-Identifier: Apache-2.0
"""A batch of a toy world's responses with their wrong tokens, in the form of `verl-df explain`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verl_df.io.files import write_text
from verl_df.lab.explain.rows import ROWS, Group, RolloutRow
from verl_df.lab.generation import Generator, Response, load_processor
from verl_df.lab.toy.data import DATA_SOURCE, Example, examples
from verl_df.lab.toy.sampling import ask
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.truth import error_mask
from verl_df.lab.toy.verdict import judge
from verl_df.lab.weight_audit.settings import BatchSettings
from verl_df.method.group import GroupConfig, OnNoCorrect

OpenGenerator = Callable[[str], AbstractContextManager[Generator]]
ROLLOUTS = "rollouts.jsonl"


@dataclass(frozen=True, eq=False)
class Audited:
    """A wrong response whose wrong tokens are known, of a prompt that has a reference.

    Attributes:
        key: of the rollout.
        uid: of the prompt.
        wrong: bool [T], at least one True.
    """

    key: str
    uid: str
    wrong: np.ndarray


def sample_batch(
    out: Path, policy: str, world: ToySettings, settings: BatchSettings, open_generator: OpenGenerator, seed: int
) -> Path:
    """Write `rollouts.jsonl` and the pictures into `out`. Returns the path of the rollouts."""
    chosen = list(examples("rl_val", settings.prompts, world))
    requests = [ask(example.prompt()[0]["content"], example.png) for example in chosen]
    with open_generator(policy) as generator:
        responses = generator.generate(
            requests, n=settings.per_prompt, temperature=1.0, max_tokens=world.response_tokens, seed=seed
        )
    tokenizer = load_processor(policy).tokenizer
    (out / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for example, own in zip(chosen, responses, strict=True):
        image = f"images/{example.index}.png"
        (out / image).write_bytes(example.png)
        lines += [ROWS.dump(_row(example, image, response, tokenizer)) for response in own]
    write_text(out / ROLLOUTS, "".join(f"{line}\n" for line in lines))
    return out / ROLLOUTS


def _row(example: Example, image: str, response: Response, tokenizer: object) -> RolloutRow:
    right = judge(example, response.text).right
    truth = None if right else error_mask(response.token_ids, example.extra_info(), tokenizer)
    return RolloutRow(
        uid=f"{example.split}/{example.index}",
        reward=float(right),
        token_ids=response.token_ids,
        finished=response.finished,
        truth_mask=None if truth is None else tuple(map(int, truth)),
        prompt=example.prompt()[0]["content"],
        images=(image,),
        ground_truth=example.answer(),
        data_source=DATA_SOURCE,
        extra_info=example.extra_info(),
    )


def audited(groups: list[Group], config: GroupConfig) -> list[Audited]:
    """The responses that weights are compared with the truth on.

    A prompt without a right response is left out: its group-relative advantages are 0 whatever the weights, and DF
    has no reference for it. With `on_no_correct=annotated_answer` it has one, and with right repairs advantages are
    not 0: then such prompts count.

    Args:
        groups: prompts with their responses.
        config: which rollouts are right, and what becomes of a prompt without one.

    Raises:
        ValueError: there is none.
    """
    found = []
    for group in groups:
        rollouts = group.request.rollouts
        alone = not any(rollout.reward >= config.reward_threshold for rollout in rollouts)
        if alone and config.on_no_correct is OnNoCorrect.SKIP:
            continue
        for rollout in rollouts:
            truth = group.truths.get(rollout.token_ids)
            if rollout.reward < config.reward_threshold and truth is not None and any(truth):
                found.append(Audited(rollout.key, group.request.uid, np.asarray(truth, dtype=bool)))
    if not found:
        raise ValueError(
            "no wrong response with a 'truth_mask' or 'wrong_spans' that mark a token, of a prompt that also has a "
            "right response: nothing can be compared; take more prompts, an earlier checkpoint, or --on-no-correct "
            "annotated_answer"
        )
    return found
