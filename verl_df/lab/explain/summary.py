# SPDX-License-Identifier: Apache-2.0
"""What a file of rollouts came to, in words."""

from collections.abc import Mapping

from verl_df.lab.explain.draw import draw
from verl_df.lab.visible import visible
from verl_df.method.alignment import AlignmentConfig, align
from verl_df.method.group import SkipReason
from verl_df.method.records import PairRecord
from verl_df.method.repair import Rejection

_LINES = {
    "prompts": "df/prompts",
    "rollouts": "df/rollouts",
    "error rate": "df/error_rate",
    **{f"prompts skipped, {reason.value}": f"df/skipped/{reason.value}" for reason in SkipReason},
    "prompts left with one trajectory": "df/groups_of_one",
    "cut by the length limit": "df/truncated",
    "wrong rollouts to repair": "df/asked",
    "candidates": "df/candidates",
    "candidates that are feasible": "df/candidate_correct_rate",
    **{f"candidates rejected, {reason.value}": f"df/rejected/{reason.value}" for reason in Rejection},
    "rollouts repaired": "df/repaired",
    "feasibility": "df/repair_feasible_rate",
    "edit ratio": "df/edit_ratio/mean",
    "mask density of errors": "df/mask_density/error",
    "mask density of repairs": "df/mask_density/repair",
    "repairs that only insert": "df/pairs/insert_only",
    "repairs that only delete": "df/pairs/delete_only",
    "empty masks": "df/empty_masks",
    "rollouts with a known truth": "df/truth_known",
    "mask precision": "df/mask_truth/precision",
    "mask recall": "df/mask_truth/recall",
    "mask F1": "df/mask_truth/f1",
}
_LEFT_OUT_AT_ZERO = ("df/skipped/", "df/rejected/", "df/groups_of_one", "df/truncated", "df/truth_known")


def summary_lines(metrics: Mapping[str, float]) -> list[str]:
    """A line for each figure that says something. metrics: of `method.metrics.aggregate`."""
    told = {
        label: metrics[name]
        for label, name in _LINES.items()
        if name in metrics and (metrics[name] or not name.startswith(_LEFT_OUT_AT_ZERO))
    }
    width = max(map(len, told))
    return [f"{label:<{width}}  {_number(value)}" for label, value in told.items()]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def pair_lines(line: int, record: PairRecord, config: AlignmentConfig, *, colour: bool) -> str:
    """A pair: where it is from, what became of it, and its alignment."""
    head = f"--- line {line}, {visible(record.uid)}: reward {record.error.reward:g}, reference {record.reference_kind}"
    reasons = ", ".join(reason for reason in record.rejections if reason) or "no candidate"
    if record.repair is None:
        return f"{head}; no repair: {reasons}"
    alignment = align(record.error.token_ids, record.repair.token_ids, method=config.method, backend=config.backend)
    figures = f"edit distance {record.edit_distance} ({record.edit_ratio:.1%})"
    return f"{head}; {figures}\n{draw(record.error, record.repair, alignment, colour=colour)}"
