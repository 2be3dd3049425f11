# SPDX-License-Identifier: Apache-2.0
"""Repairs from a repair model, asked as in training."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.streams import batches
from verl_df.lab.command_line import option
from verl_df.lab.explain.candidates import Candidates
from verl_df.lab.explain.pictures import group_pictures
from verl_df.lab.explain.rows import Group
from verl_df.lab.generation import Generator, Request, Response, with_image_items
from verl_df.method.feedback import RepairSample, reference_text
from verl_df.method.group import GroupPlan, Rollout
from verl_df.prompts.messages import repair_messages

_CHUNK = 128  # requests whose pictures are in memory at once


@dataclass(frozen=True)
class Sampling:
    """How repairs are sampled; each field is an option.

    Raises: ValueError for a number out of its range.
    """

    samples: int = option("df.repair.n: repairs of each wrong response", 2, metavar="N")
    temperature: float = option("df.repair.temperature", 1.0)
    top_p: float = option("df.repair.top_p: nucleus", 1.0)
    max_tokens: int | None = option("tokens of a repair (default: twice the longest response)", None)

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.max_tokens is not None and self.max_tokens < 1):
            raise ValueError("--samples and --max-tokens: 1 or more")
        if not self.temperature >= 0 or not 0 < self.top_p <= 1:
            raise ValueError("--temperature: 0 or more; --top-p: more than 0, at most 1")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"--samples {self.samples} greedy repairs would all be the same: set a temperature")


def sample_repairs(
    groups: Sequence[Group],
    plans: Sequence[GroupPlan],
    sampling: Sampling,
    *,
    decode: Callable[[Sequence[int]], str],
    open_generator: Callable[[], AbstractContextManager[Generator]],
    placeholders: frozenset[int],
    folder: Path,
    template: str | None,
    seed: int,
) -> list[Candidates]:
    """Candidates of every rollout that is to be repaired (Eq. 5).

    Args:
        groups: the prompts.
        plans: of each, with the reference.
        sampling: how.
        decode: token ids -> text without special tokens.
        open_generator: opens the repair model; not called where nothing is to be repaired.
        placeholders: ids of image and video tokens.
        folder: of the pictures.
        template: of the repair prompt; None: the packaged one.
        seed: of the samples.

    Raises:
        ValueError: with file and line, a prompt that cannot be asked; before the model is loaded.
    """
    asked = [
        (group, rollout, _messages(group, rollout, reference_text(plan, decode), template, decode))
        for group, plan in zip(groups, plans, strict=True)
        for rollout in plan.to_repair
    ]
    found = {group.request.uid: Candidates() for group in groups}
    if not asked:
        return list(found.values())
    longest = max(len(rollout.token_ids) for _, rollout, _ in asked)
    decoding = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    with open_generator() as generator:
        for chunk in batches(enumerate(asked), _CHUNK):
            requests = [
                Request(messages, group_pictures(group, folder, generator.patch_size), number)
                for number, (group, _, messages) in chunk
            ]
            limit = sampling.max_tokens or 2 * max(1, longest)
            answers = generator.generate(requests, n=sampling.samples, max_tokens=limit, seed=seed, **decoding)
            for (_, (group, rollout, _)), responses in zip(chunk, answers, strict=True):
                found[group.request.uid].samples[rollout.key] = [_sample(one, placeholders) for one in responses]
    return list(found.values())


def _messages(
    group: Group, rollout: Rollout, reference: str, template: str | None, decode: Callable[[Sequence[int]], str]
) -> list[dict[str, Any]]:
    row = group.rows[rollout.key]
    asked = [{"role": "user", "content": row.prompt}]
    messages = repair_messages(asked, decode(rollout.token_ids), reference, template)
    try:
        with_image_items(messages, len(row.images))
    except ValueError as error:
        raise ValueError(f"{group.places[rollout.key]}: {error}") from error
    return messages


def _sample(response: Response, placeholders: frozenset[int]) -> RepairSample:
    return RepairSample(response.token_ids, response.finished, not placeholders.isdisjoint(response.token_ids))
