# SPDX-License-Identifier: Apache-2.0
"""The repair model's reward: r_rep = g_aud · g_vis · (r_task(x, ŷ) − λ · A_edit(y, ŷ) / max(1, |y|)) (Eq. 3, 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verl_df.method.alignment import edit_distance
from verl_df.method.checks import check_reward

# τ_r of Eq. 3 and 6: a response is right from here on.
RIGHT = 1.0


@dataclass(frozen=True)
class RepairScore:
    """r_rep of one repair ŷ and what it is made of.

    r_task, r_removed: task reward of ŷ, and of the repair generated again without the image (None: not generated);
    both in [0, 1]. edit_distance: A_edit(y, ŷ) in tokens. edit_ratio: edit_distance / max(1, |y|). g_vis, g_aud: 0 or
    1. reward: r_rep, at most 1; below zero for a wrong repair with edits.
    """

    r_task: float
    r_removed: float | None
    edit_distance: int
    edit_ratio: float
    g_vis: int
    g_aud: int
    reward: float


def image_gate(r_removed: float | None) -> int:
    """g_vis of Eq. 3: 0 if the repair is right without the image too. Without a counterfactual (None) it is 1."""
    return 0 if r_removed is not None and r_removed >= RIGHT else 1


def score_repair(
    response: Sequence[int],
    repair: Sequence[int],
    *,
    r_task: float,
    edit_penalty: float,
    r_removed: float | None = None,
    g_aud: int = 1,
) -> RepairScore:
    """Eq. 4 for one repair.

    Args:
        response: y, token ids, the end token included where there is one. repair: ŷ, likewise.
        r_task: task reward of ŷ in [0, 1].
        edit_penalty: λ.
        r_removed: task reward in [0, 1] of the repair that was generated again from x_∅; None: not generated.
        g_aud: the auditor's gate, 0 or 1.

    Raises:
        ValueError: a task reward outside [0, 1].
    """
    check_reward("the repair", r_task)
    if r_removed is not None:
        check_reward("the repair without the image", r_removed)
    distance = edit_distance(response, repair)
    ratio = distance / max(1, len(response))
    g_vis = image_gate(r_removed)
    reward = g_aud * g_vis * (r_task - edit_penalty * ratio)
    return RepairScore(r_task, r_removed, distance, ratio, g_vis, g_aud, reward)


def summarize_scores(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Metrics of one step from the values of its repairs (see `adapters.repair_reward_manager`).

    Args:
        rows: one dict a repair, all with the same keys: the means are taken of `r_task`, `edit_ratio`, `g_vis`, `g_aud`
            and `r_rep`; keys that end in `_failed` (0 or 1) are counted.

    Returns:
        `repair/<name>` means and `repair/<name>_failed` counts; `repair/right_edit_ratio`, the mean edit ratio of the
        right repairs, where there is one; `repair/unchanged`, the share of repairs that equal y.
    """
    values = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    means = ("r_task", "edit_ratio", "g_vis", "g_aud", "r_rep")
    metrics = {f"repair/{name}": float(values[name].mean()) for name in means}
    metrics |= {f"repair/{name}": float(total.sum()) for name, total in values.items() if name.endswith("_failed")}
    right = values["r_task"] >= RIGHT
    if right.any():
        metrics["repair/right_edit_ratio"] = float(values["edit_ratio"][right].mean())
    metrics["repair/unchanged"] = float((values["edit_ratio"] == 0).mean())
    return metrics
