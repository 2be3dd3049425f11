# SPDX-License-Identifier: Apache-2.0
"""Which responses to one prompt become repair samples, and with which reference. No model, no file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from verl_df.io.lines import Lines
from verl_df.io.validation import checked
from verl_df.lab.generation import Response
from verl_df.lab.repair_data.records import RepairSample, sample_id
from verl_df.lab.repair_data.settings import SampleSettings
from verl_df.lab.rl_data import Prompt
from verl_df.method.checks import preferred_response
from verl_df.method.group import ReferenceKind
from verl_df.method.repair_reward import RIGHT


@dataclass(frozen=True)
class Candidate:
    """A wrong response that has a reference. rollout: its number in the group."""

    rollout: int
    response: Response
    reference: str
    kind: ReferenceKind


@checked
class PromptCount:
    """What became of one prompt's responses; one line of `prompts.jsonl`, written when `settle` has filled it in.

    right + wrong + truncated are all its responses: truncated ones, cut by the length limit, are not judged. duplicate:
    wrong responses that another one equals, token by token. no_reference: wrong ones without a reference. text_right of
    text_samples responses to x_∅ were right; text_samples is 0 where nothing was left to filter. dropped_by_text: wrong
    responses with a reference that the text filter took. kept: samples written.
    """

    prompt_index: int
    right: int
    wrong: int
    truncated: int
    duplicate: int
    no_reference: int
    text_samples: int = 0
    text_right: int = 0
    dropped_by_text: int = 0
    kept: int = 0


COUNTS = Lines(PromptCount, version=None, what="a count")


def judge_group(
    prompt: Prompt, responses: Sequence[Response], rewards: Sequence[float | None], settings: SampleSettings
) -> tuple[list[Candidate], PromptCount]:
    """Sort the responses to a prompt, and draw a reference for each wrong one.

    Args:
        prompt: x.
        responses: G samples of the policy.
        rewards: r_task in [0, 1] of each, None for an unfinished one.
        settings: the rules.

    Returns:
        what could be kept, and the counts before the text filter.

    The draw depends on the seed and the row's number alone, not on what else is sampled. Our reading: an unfinished
    response is neither repaired nor a reference, for it has no end; of equal wrong responses the first is kept, for a
    second annotation of the same text says nothing new.
    """
    pairs = list(zip(responses, rewards, strict=True))
    right = [response.text for response, reward in pairs if reward is not None and reward >= RIGHT]
    wrong = [(number, pair[0]) for number, pair in enumerate(pairs) if pair[1] is not None and pair[1] < RIGHT]
    rng = np.random.default_rng([settings.seed, prompt.index])
    seen: set[tuple[int, ...]] = set()
    candidates, duplicate, no_reference = [], 0, 0
    for number, response in wrong:
        reference = _reference(rng, right, prompt, settings)
        if response.token_ids in seen:
            duplicate += 1
        elif reference is None:
            no_reference += 1
        else:
            candidates.append(Candidate(number, response, *reference))
        seen.add(response.token_ids)
    truncated = len(pairs) - len(right) - len(wrong)
    return candidates, PromptCount(prompt.index, len(right), len(wrong), truncated, duplicate, no_reference)


def _reference(
    rng: np.random.Generator, right: Sequence[str], prompt: Prompt, settings: SampleSettings
) -> tuple[str, ReferenceKind] | None:
    """a ~ Unif(G_cor) (Eq. 13), or the row's preferred response or answer, with its kind; None where there is none."""
    answer = str(prompt.ground_truth)
    if settings.reference == "preferred":
        return preferred_response(prompt.extra_info), "preferred"
    if settings.reference == "answer" or (settings.reference == "mixed" and rng.random() < settings.answer_share):
        return answer, "answer"
    if right:
        return right[rng.integers(len(right))], "sibling"
    return (answer, "answer") if settings.answer_fallback else None


def solved_from_text(rewards: Sequence[float], threshold: float) -> bool:
    """Whether the policy answers from text alone, given r_task of its responses to x_∅.

    Section 3.3: such training samples are removed. Our reading: at least the share `threshold` of the responses is
    right. One right response of several is no sign of it where few answers are possible and guessing hits one of them.
    """
    return bool(rewards) and sum(reward >= RIGHT for reward in rewards) / len(rewards) >= threshold


def settle(
    prompt: Prompt,
    candidates: Sequence[Candidate],
    count: PromptCount,
    text_rewards: Sequence[float],
    settings: SampleSettings,
) -> tuple[list[RepairSample], PromptCount]:
    """The samples of one prompt, and its whole line of counts.

    Args:
        prompt: x.
        candidates, count: see `judge_group`.
        text_rewards: r_task of the responses to x_∅; empty where there are none.
        settings: the rules.
    """
    solved = solved_from_text(text_rewards, settings.text_only_threshold)
    kept = [] if solved else [_sample(prompt, candidate) for candidate in candidates]
    text_right = sum(reward >= RIGHT for reward in text_rewards)
    dropped = len(candidates) - len(kept)
    return kept, replace(
        count, text_samples=len(text_rewards), text_right=text_right, dropped_by_text=dropped, kept=len(kept)
    )


def _sample(prompt: Prompt, candidate: Candidate) -> RepairSample:
    ids = list(candidate.response.token_ids)
    return RepairSample(
        id=sample_id(prompt.index, candidate.rollout, ids),
        prompt_index=prompt.index,
        data_source=prompt.data_source,
        prompt=prompt.messages,
        images=prompt.image_names(),
        ground_truth=prompt.ground_truth,
        extra_info=prompt.extra_info,
        response=candidate.response.text,
        response_ids=ids,
        reference=candidate.reference,
        reference_kind=candidate.kind,
    )
