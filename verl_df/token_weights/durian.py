# SPDX-License-Identifier: Apache-2.0
"""Advantages divided by the spread of rewards among prompts that are as difficult, besides that of the group.

Source: Durian, "Enhancing Multi-Modal LLMs Reasoning via Difficulty-Aware Group Normalization"; the paper was read.
Theirs: A = α_o·A_group + α_p·A_perception + α_r·A_reasoning, each r − mean(group) over another standard deviation: of
the group, or of all rewards of the prompts in the same bucket of the batch; the two scores; perception cut at the 25th
and the 75th percentile; about 12 buckets of reasoning. They state no coefficients. Our reading: the sum over log p that
their text says and their formula lacks; where the rewards of a bucket are all alike, the group's deviation is taken; in
groups that DF has rebuilt, all deviations are of the rows that are trained on, as GRPO's is.

All three share r − mean(group), so it is a factor of each row on GRPO's advantage.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeFloat

from verl_df.io.validation import checked

# verl's, in the divisor of GRPO's advantage.
EPSILON = 1e-6
PERCEPTION_CUTS = (0.25, 0.75)
# Of a row's extra_info: the score of its picture.
VISUAL_ENTROPY = "visual_entropy"


@checked
class DurianConfig:
    """By what spreads of rewards GRPO's advantages are divided (Durian); coefficients of the sum.

    Attributes:
        group: α_o, of the group, as in GRPO. With 1 and the others 0 it is the base algorithm.
        perception: α_p, of prompts whose pictures are as complex, by `extra_info.visual_entropy`, which
            `verl-df data visual-entropy` writes.
        reasoning: α_r, of prompts whose responses are as probable.
        buckets: of reasoning, with as many prompts each; 12 take hundreds of prompts a batch.
    """

    group: NonNegativeFloat = 1.0
    perception: NonNegativeFloat = 0.0
    reasoning: NonNegativeFloat = 0.0
    buckets: Annotated[int, Field(ge=1)] = 12

    def __post_init__(self) -> None:
        if self.group == self.perception == self.reasoning == 0:
            raise ValueError("df.durian: all three coefficients are 0, and with them every advantage: give one of them")

    @property
    def neutral(self) -> bool:
        """Whether it is the base algorithm."""
        return (self.group, self.perception, self.reasoning) == (1.0, 0.0, 0.0)


def durian_factors(
    rewards: np.ndarray,
    uids: Sequence[str | None],
    log_probs: np.ndarray,
    complexity: np.ndarray | None,
    config: DurianConfig,
) -> np.ndarray:
    """What multiplies GRPO's advantage of each row, float32 [rows]; 1 for padding rows.

    Args:
        rewards: that GRPO normalises, float [rows].
        uids: of each row's prompt; None for padding rows.
        log_probs: Σ_t log π_old(y_t) of each row, float [rows].
        complexity: of each row's picture, the same for all rows of a prompt, float [rows]; None: α_p is 0.
        config: coefficients and buckets.

    Raises:
        ValueError: α_p without the complexity.
    """
    rows = np.array([uid is not None for uid in uids], dtype=bool)
    factors = np.ones(len(uids), dtype=np.float32)
    if not rows.any():
        return factors
    names, prompts = np.unique([uid for uid in uids if uid is not None], return_inverse=True)
    own = _spread(rewards[rows], prompts)
    total = np.full(rows.sum(), config.group, dtype=np.float64)
    if config.perception:
        if complexity is None:
            raise ValueError(f"df.durian.perception needs extra_info.{VISUAL_ENTROPY} of each row")
        score = _mean(complexity[rows], prompts, len(names))
        total += config.perception * _relative(rewards[rows], own, _cut(score, PERCEPTION_CUTS)[prompts])
    if config.reasoning:
        score = _mean(log_probs[rows], prompts, len(names))
        cuts = np.arange(1, config.buckets) / config.buckets
        total += config.reasoning * _relative(rewards[rows], own, _cut(score, cuts)[prompts])
    factors[rows] = total
    return factors


def picture_complexity(features: np.ndarray) -> float:
    """−Σ p log p of the spectrum of a picture's patches, in nats: 0 where all are alike, at most log(P).

    p are the eigenvalues of the centred patches' Gram matrix over P − 1, divided by their sum.

    Args:
        features: of the vision encoder, float [P, d], P patches.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, keepdims=True)
    # the Gram matrix's eigenvalues are the squared singular values; P − 1 cancels
    spectrum = np.linalg.svd(centred, compute_uv=False) ** 2
    total = spectrum.sum()
    if total <= 0:
        return 0.0
    shares = spectrum[spectrum > 0] / total
    return float(-(shares * np.log(shares)).sum())


def _cut(scores: np.ndarray, cuts: Sequence[float] | np.ndarray) -> np.ndarray:
    """The bucket of each prompt, int [prompts]; equal scores share one."""
    return np.searchsorted(np.quantile(scores, np.asarray(cuts)), scores, side="left")


def _mean(values: np.ndarray, prompts: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(prompts, values, count) / np.bincount(prompts, minlength=count)


def _spread(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The sample standard deviation of the rewards of each row's group, float64 [rows]; 0 for a row alone."""
    found = np.zeros(len(rewards))
    for group in np.unique(groups):
        members = groups == group
        if members.sum() > 1:
            found[members] = rewards[members].astype(np.float64).std(ddof=1)
    return found


def _relative(rewards: np.ndarray, own: np.ndarray, buckets: np.ndarray) -> np.ndarray:
    """The deviation that GRPO divides by, over that of the bucket; 1 where the bucket's is 0."""
    spread = _spread(rewards, buckets)
    return np.where(spread > 0, (own + EPSILON) / (spread + EPSILON), 1.0)
