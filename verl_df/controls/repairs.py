# SPDX-License-Identifier: Apache-2.0
"""Other repairs: candidates that do not come from the repair model."""

from collections.abc import Callable, Sequence

from verl_df.controls.settings import USES_EXACT_REPAIR, Control
from verl_df.method.feedback import RepairSample
from verl_df.method.group import GroupPlan, Rollout


def control_candidates(
    kind: Control,
    rollout: Rollout,
    plan: GroupPlan,
    exact_repair: Callable[[Sequence[int]], Sequence[int] | None],
) -> list[RepairSample] | None:
    """Candidates ŷ for one wrong rollout, from which the method chooses the nearest as ever (Eq. 7).

    Args:
        kind: the control.
        rollout: y.
        plan: of its group, with the right rollouts.
        exact_repair: token ids of y -> those of y*, end token included; None where it is not defined.

    Returns:
        None: ask the repair model, as without a control. With `sibling` every right rollout of the group is a
        candidate, so that the nearest one becomes the repair, of equals the first sampled. With `imitate_right` there
        is none.
    """
    if kind is Control.SIBLING:
        return [RepairSample(sibling.token_ids, sibling.finished, False) for sibling in plan.correct]
    if kind is Control.IMITATE_RIGHT:
        return []
    if kind in USES_EXACT_REPAIR:
        repaired = exact_repair(rollout.token_ids)
        return None if repaired is None else [RepairSample(tuple(repaired), True, False)]
    return None
