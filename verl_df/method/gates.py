# SPDX-License-Identifier: Apache-2.0
"""From a difference mask to the gate g_t that multiplies the advantage (Eq. 9, 10, 20)."""

import re
from collections.abc import Sequence

import numpy as np
from pydantic import NonNegativeFloat

from verl_df.io.validation import Choice, checked

# verl's aggregations in which a loss is divided by a number of tokens
TOKEN_MEANS = ("seq-mean-token-mean", "token-mean")


class GateKind(Choice):
    """What a marked token's gate is."""

    BINARY = "binary"
    SOFT = "soft"


class Tau(Choice):
    """Which token is τ, the one with a soft gate of 1."""

    SEGMENT_START = "segment_start"
    SEGMENT_CENTRE = "segment_centre"
    FIRST_DIFFERENCE = "first_difference"


class Level(Choice):
    """What a mask marks."""

    TOKEN = "token"
    STEP = "step"


class Segments(Choice):
    """Which difference segments count."""

    ALL = "all"
    FIRST = "first"


class Normalizer(Choice):
    """What a response's loss is divided by."""

    RESPONSE = "response"
    GATED = "gated"


class StepSeparator(Choice):
    """Where a step ends."""

    BLANK_LINE = "blank_line"
    LINE = "line"
    SENTENCE = "sentence"


# Each pattern ends on the last character of a step. Blank line and line take in the empty lines that follow, so that
# these are no steps of their own. A full stop inside a number ends nothing: white space or the end must follow.
_SEPARATORS = {
    StepSeparator.BLANK_LINE: re.compile(r"\n(?:[^\S\n]*\n)+"),
    StepSeparator.LINE: re.compile(r"\n(?:[^\S\n]*\n)*"),
    # Tried at the first mark of a row of them only, and without a way back: a response may be full stops to its limit.
    StepSeparator.SENTENCE: re.compile(r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)|[。！？]++|\n(?:[^\S\n]*\n)*"),
}


@checked
class GateConfig:
    """How a mask becomes a gate (Eq. 9, 10, 20).

    Attributes:
        kind: `binary`: g = m (Eq. 10); `soft`: g = w, w_t = m_t · exp(−α·|t − τ|) (Eq. 9).
        alpha: α, the decay per token of `soft`.
        tau: which token is τ: `segment_start` (our reading), the first token of the difference segment that holds t;
            `segment_centre`, the middle token, of two the first; `first_difference` of the response.
        level: `token`; `step`: a whole step is marked when any of its tokens is.
        step_separator: where steps end, for `level=step`: `blank_line`, `line` or `sentence` (a full stop, exclamation
            or question mark before white space, or a line break); found in the text, cut on token ids, nothing is
            encoded again.
        segments: `all`; `first`: only the first difference segment, our reading of the paper's "truncated" mask.
        normalizer: `response`: a loss is a mean over the response (Eq. 22); `gated`: over its tokens with a gate above
            0.
        clamp_errors: an advantage above 0 on a gated token of a repaired error becomes 0. With partial rewards, or
            rewards shaped for length, an error can be better than the mean of its group, and the formula then
            reinforces the very tokens called wrong; `df/positive_errors` counts such rows.
    """

    kind: GateKind = GateKind.BINARY
    alpha: NonNegativeFloat = 0.1
    tau: Tau = Tau.SEGMENT_START
    level: Level = Level.TOKEN
    step_separator: StepSeparator = StepSeparator.LINE
    segments: Segments = Segments.ALL
    normalizer: Normalizer = Normalizer.RESPONSE
    clamp_errors: bool = False


def segments(mask: np.ndarray) -> list[tuple[int, int]]:
    """Runs of True in a bool mask [T], as half-open (start, end) token positions in order."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], np.asarray(mask, dtype=bool), [False]))))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def build_gate(
    mask: np.ndarray,
    config: GateConfig,
    *,
    step_ids: np.ndarray | None = None,
    loss_mask: Sequence[bool] | np.ndarray | None = None,
) -> np.ndarray:
    """The gate of one response: float32 [T] in [0, 1], 0 outside the (widened) mask.

    mask: bool [T], m or m′. step_ids: int [T], needed at step level, see `split_steps`. loss_mask: bool [T], True where
    the policy generated the token; elsewhere the gate is 0, since a mask never covers tool or observation tokens. A gap
    that falls on such a token is not moved to the policy's token before it: its gate is 0, and so a gate may be 0 on
    every token of a response that differs from its repair.

    The first segment is chosen before steps are widened: afterwards neighbouring steps would be one segment.

    Raises: ValueError where lengths differ or step level comes without step_ids.
    """
    mask = np.asarray(mask, dtype=bool)
    policy = np.ones_like(mask) if loss_mask is None else np.asarray(loss_mask, dtype=bool)
    _check_length("loss_mask", policy, mask)
    mask = mask & policy
    if config.segments is Segments.FIRST:
        mask = _first_segment(mask)
    if config.level is Level.STEP:
        mask = _widen_to_steps(mask, step_ids) & policy
    return mask.astype(np.float32) if config.kind is GateKind.BINARY else _soft_weights(mask, config)


def gate_weights(gates: np.ndarray, trainable: np.ndarray, *, normalizer: Normalizer, loss_agg_mode: str) -> np.ndarray:
    """What to multiply the advantages of a batch with, float32 [rows, T], so that the loss has the wanted normaliser.

    gates: float32 [rows, T], padded. trainable: bool [rows, T], the response mask. normalizer: "response" leaves the
    gates as they are; "gated" replaces a mean over the response by one over its tokens with a gate above 0. A clipped
    loss is positively homogeneous in the advantage, so a factor on the gates is a factor on the loss, exactly.
    loss_agg_mode: verl's name of the mean; per response in "seq-mean-token-mean", over the whole batch in "token-mean"
    (of the batch, not the mini-batch, so that it does not depend on how rows fall into mini-batches).

    A gate of ones is returned unchanged; without a gated token there is nothing to scale and zeros stay.

    Raises: ValueError for "gated" where the loss takes no mean over tokens.
    """
    if normalizer == Normalizer.RESPONSE:
        return gates
    if loss_agg_mode not in TOKEN_MEANS:
        raise ValueError(
            f"normalizer='gated' needs a loss that is a mean over tokens ({' or '.join(TOKEN_MEANS)}), "
            f"not loss_agg_mode={loss_agg_mode!r}"
        )
    axis = 1 if loss_agg_mode == "seq-mean-token-mean" else None
    tokens = trainable.sum(axis=axis, keepdims=True)
    gated = (trainable & (gates > 0)).sum(axis=axis, keepdims=True)
    factors = np.divide(tokens, gated, out=np.zeros(tokens.shape), where=gated > 0)
    return (gates * factors).astype(np.float32)


def split_steps(token_texts: Sequence[str], separator: StepSeparator) -> np.ndarray:
    """Step number of each token, int64 [T], counted from 0.

    token_texts: the decoded text of each token, T of them. The cut is found in their concatenation and laid on token
    boundaries, nothing is encoded again: the token that holds the last character of a separator ends its step, so a
    separator may span tokens and belongs to the step before it.
    """
    ends = np.cumsum([len(text) for text in token_texts], dtype=np.int64)
    begins = np.zeros(len(token_texts), dtype=np.int64)
    for match in _SEPARATORS[separator].finditer("".join(token_texts)):
        following = int(np.searchsorted(ends, match.end() - 1, side="right")) + 1
        begins[following : following + 1] = 1
    return np.cumsum(begins)


def _check_length(name: str, array: np.ndarray, mask: np.ndarray) -> None:
    if array.shape != mask.shape:
        raise ValueError(f"{name} has shape {array.shape} and the mask {mask.shape}: both must be [response tokens]")


def _first_segment(mask: np.ndarray) -> np.ndarray:
    kept = np.zeros_like(mask)
    for start, end in segments(mask)[:1]:
        kept[start:end] = True
    return kept


def _widen_to_steps(mask: np.ndarray, step_ids: np.ndarray | None) -> np.ndarray:
    if step_ids is None:
        raise ValueError("level='step' needs step_ids (int [response tokens]); make them with split_steps")
    step_ids = np.asarray(step_ids)
    _check_length("step_ids", step_ids, mask)
    return np.isin(step_ids, step_ids[mask])


def _soft_weights(mask: np.ndarray, config: GateConfig) -> np.ndarray:
    gate = np.zeros(len(mask), dtype=np.float32)
    runs = segments(mask)
    for start, end in runs:
        tau = {
            Tau.SEGMENT_START: start,
            Tau.SEGMENT_CENTRE: (start + end - 1) // 2,
            Tau.FIRST_DIFFERENCE: runs[0][0],
        }
        gate[start:end] = np.exp(-config.alpha * np.abs(np.arange(start, end) - tau[config.tau]))
    return gate
