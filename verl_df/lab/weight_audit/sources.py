# SPDX-License-Identifier: Apache-2.0
"""Where weights come from: masks of repairs, controls on them, other methods' weights, and what knows no response."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verl_df.controls.borrowed import donors, scaled
from verl_df.controls.gates import control_gates
from verl_df.controls.settings import Control, ControlConfig
from verl_df.lab.explain.rows import Group
from verl_df.lab.weight_audit.batch import Audited
from verl_df.lab.weight_audit.passes import Passes
from verl_df.method.feedback import GroupResult
from verl_df.method.group import MemberKind
from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.rlsd import right_siblings
from verl_df.token_weights.settings import WeightConfig, WeightKind
from verl_df.token_weights.weigh import METHODS, token_weights

ByKey = Mapping[str, np.ndarray]
# Other gates on the same pairs, in the order of the table.
CONTROLS = {
    Control.RANDOM: "as many tokens as the mask, anywhere",
    Control.RANDOM_SPANS: "the segments of the mask, anywhere",
    Control.OTHER_ROW: "the mask of another pair, of another prompt",
    Control.COMPLEMENT: "the tokens outside the mask",
    Control.NO_GATE: "equal weights",
}


@dataclass(frozen=True, eq=False)
class Source:
    """One way to weigh tokens.

    Attributes:
        name: `df`, `sibling`, a `df.control.kind`, a `df.weight.kind`, `oracle` or `position`.
        what: in a few words.
        weights: by the key of the response, float [T], of all audited ones.
        seconds: for the batch, besides the pass of π_old that training makes anyway; None: not a method.
        right_mass: mean weight of a right response; None where the source gives these none.
    """

    name: str
    what: str
    weights: ByKey
    seconds: float | None
    right_mass: float | None = None


def repair_gates(results: Sequence[GroupResult]) -> dict[str, np.ndarray]:
    """Gates of the wrong rollouts, float32 [T], by key; ones where there is no right repair."""
    members = (member for result in results for member in result.members)
    return {member.key: member.gate for member in members if member.kind is MemberKind.ERROR}


def repair_masks(results: Sequence[GroupResult]) -> dict[str, np.ndarray]:
    """m of the wrong rollouts that have a right repair, bool [T], by key."""
    attempts = (attempt for result in results for attempt in result.attempts)
    return {attempt.key: attempt.mask for attempt in attempts if attempt.repair is not None}


def control_source(kind: Control, results: Sequence[GroupResult], seed: int) -> Source:
    """The gates of a control on the pairs of the method; as there, a response without a repair keeps its gate."""
    if kind is Control.OTHER_ROW:
        return Source(kind.value, CONTROLS[kind], other_gates(results, np.random.default_rng(seed)), None)
    gates, config = {}, ControlConfig(kind=kind, seed=seed)
    for result in results:
        for member in control_gates(result.members, config, seed=f"{seed}-{result.uid}", truths={}):
            if member.kind is MemberKind.ERROR:
                gates[member.key] = member.gate
    return Source(kind.value, CONTROLS[kind], gates, None)


def other_gates(results: Sequence[GroupResult], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Gates of the wrong rollouts by key, those of repaired ones taken from other pairs."""
    gates = repair_gates(results)
    pairs = [(result.uid, attempt.key) for result in results for attempt in result.attempts if attempt.repair]
    drawn = donors([uid for uid, _ in pairs], rng)
    moved = {
        key: scaled(gates[pairs[place][1]], len(gates[key]))
        for (_, key), place in zip(pairs, drawn, strict=True)
        if place is not None
    }
    return gates | moved


def oracle(rows: Sequence[Audited]) -> Source:
    """The truth itself: what any source could reach at best."""
    return Source(
        "oracle", "the wrong tokens themselves", {row.key: row.wrong.astype(np.float32) for row in rows}, None
    )


def position(rows: Sequence[Audited]) -> Source:
    """How often the token at the same place is wrong in audited responses to other prompts; 0 beyond all of them.

    What a source must beat to say something of the response and not only of the layout.
    """
    longest = max(len(row.wrong) for row in rows)
    uids = list(dict.fromkeys(row.uid for row in rows))
    wrong, reached = np.zeros((len(uids), longest)), np.zeros((len(uids), longest))
    for row in rows:
        number, length = uids.index(row.uid), len(row.wrong)
        wrong[number, :length] += row.wrong
        reached[number, :length] += 1
    others = [counts.sum(axis=0) - counts for counts in (wrong, reached)]
    shares = np.divide(others[0], others[1], out=np.zeros_like(wrong), where=others[1] > 0)
    weights = {row.key: shares[uids.index(row.uid), : len(row.wrong)] for row in rows}
    return Source("position", "how often other prompts' responses are wrong there", weights, None)


def weight_source(kind: WeightKind, groups: Sequence[Group], passes: Passes, threshold: float) -> Source:
    """Another method's weights with its published settings, over the whole batch as in training without a gate."""
    hidden = METHODS[kind].hidden
    columns, keys = token_columns(groups, passes, hidden, threshold)
    seconds = 0.0 if hidden is None else passes.scores(hidden).seconds
    if METHODS[kind].shown:
        columns, seconds = with_shown(columns, keys, groups, passes)
    started = time.perf_counter()
    weights = token_weights(columns, WeightConfig(kind=kind), step=0)
    seconds += time.perf_counter() - started
    lengths = columns.mask.sum(axis=1)
    right = weights[columns.right]
    mass = float((right.sum(axis=1) / lengths[columns.right]).mean()) if len(right) else None
    by_key = {key: row[:length] for key, row, length in zip(keys, weights, lengths, strict=True)}
    return Source(kind.value, "with its published settings", by_key, seconds, mass)


def token_columns(
    groups: Sequence[Group], passes: Passes, hidden: float | None, threshold: float
) -> tuple[TokenColumns, list[str]]:
    """The columns of all responses, padded at the end, and the key of each row.

    Args:
        groups: prompts with their responses.
        passes: of the policy.
        hidden: the share of the picture that is hidden in the pass of `blind_log_probs`; None: no such pass.
        threshold: a rollout with at least this reward is right.
    """
    rollouts = [(group.request.uid, rollout) for group in groups for rollout in group.request.rollouts]
    keys = [rollout.key for _, rollout in rollouts]
    scores = passes.scores()
    masks = {rollout.key: np.asarray(rollout.loss_mask, dtype=bool) for _, rollout in rollouts}
    columns = TokenColumns(
        log_probs=_padded(scores.log_probs, keys),
        entropy=_padded(scores.entropy, keys),
        mask=_padded(masks, keys),
        right=np.array([rollout.reward >= threshold for _, rollout in rollouts]),
        uids=[uid for uid, _ in rollouts],
        blind_log_probs=None if hidden is None else _padded(passes.scores(hidden).log_probs, keys),
    )
    return columns, keys


def with_shown(
    columns: TokenColumns, keys: Sequence[str], groups: Sequence[Group], passes: Passes
) -> tuple[TokenColumns, float]:
    """The columns with those of a pass that shows each response a right one of its prompt, and the pass's seconds.

    The advantages are GRPO's but for their size: a response's reward less the mean of its prompt's.
    """
    by_key = {rollout.key: rollout for group in groups for rollout in group.request.rollouts}
    siblings = right_siblings(columns.uids, columns.right, np.random.default_rng([passes.seed, 0]))
    shown = {key: by_key[keys[row]] for key, row in zip(keys, siblings, strict=True) if row is not None}
    scores = passes.shown({key: passes.decode(rollout.token_ids) for key, rollout in shown.items()})
    log_probs = {**passes.scores().log_probs, **{key: scores.log_probs[key] for key in shown}}
    means = {group.request.uid: np.mean([one.reward for one in group.request.rollouts]) for group in groups}
    advantages = [by_key[key].reward - means[uid] for key, uid in zip(keys, columns.uids, strict=True)]
    spread = np.asarray(advantages)[:, None] * columns.mask
    return replace(columns, shown_log_probs=_padded(log_probs, keys), advantages=spread), scores.seconds


def _padded(values: ByKey, keys: Sequence[str]) -> np.ndarray:
    """Rows of these keys, with zeros at their ends: [rows, longest]."""
    longest = max(len(values[key]) for key in keys)
    return np.stack([np.pad(values[key], (0, longest - len(values[key]))) for key in keys])
