# SPDX-License-Identifier: Apache-2.0
"""Candidates for the repair of each wrong rollout: given ones, right siblings, or samples of a repair model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from verl_df.controls.repairs import control_candidates
from verl_df.controls.settings import Control
from verl_df.lab.explain.rows import Group
from verl_df.lab.task_reward import Answer, TaskReward
from verl_df.method.feedback import RepairSample
from verl_df.method.group import GroupPlan
from verl_df.method.repair import Candidate, rejected_unscored

TokenIds = tuple[int, ...]


@dataclass
class Candidates:
    """The candidates of a prompt.

    Attributes:
        samples: by the key of the rollout; of each one that is to be repaired.
        rewards: r_task of a candidate, by its token ids, as far as it is known.
    """

    samples: dict[str, list[RepairSample]] = field(default_factory=dict)
    rewards: dict[TokenIds, float] = field(default_factory=dict)

    def unjudged(self) -> list[TokenIds]:
        """Candidates whose reward is not known, though it matters."""
        return list(
            dict.fromkeys(
                one.token_ids
                for samples in self.samples.values()
                for one in samples
                if one.token_ids not in self.rewards
                and rejected_unscored(Candidate(one.token_ids, None, one.finished, one.contains_placeholder)) is None
            )
        )


def given_repairs(group: Group, plan: GroupPlan) -> Candidates:
    """The repair in the row of each rollout, or none. Raises: ValueError for two rewards of equal repairs."""
    found = Candidates()
    for rollout in plan.to_repair:
        repair, reward = group.repairs.get(rollout.key), group.rows[rollout.key].repair_reward
        found.samples[rollout.key] = [] if repair is None else [RepairSample(repair, True, False)]
        if repair is not None and reward is not None and found.rewards.setdefault(repair, reward) != reward:
            raise ValueError(
                f"{group.places[rollout.key]}: 'repair_reward' is {reward}, and {found.rewards[repair]} in another row "
                "with the same repair and uid"
            )
    return found


def sibling_repairs(group: Group, plan: GroupPlan) -> Candidates:
    """Every right rollout of the group, as with `df.control.kind=sibling`."""
    found = Candidates(rewards={rollout.token_ids: rollout.reward for rollout in plan.correct})
    for rollout in plan.to_repair:
        found.samples[rollout.key] = control_candidates(Control.SIBLING, rollout, plan, lambda ids: None) or []
    return found


def check_judgeable(groups: Iterable[tuple[Group, Sequence[str]]]) -> None:
    """Raise ValueError for a prompt without a ground truth, some of whose rollouts, by key, have repairs to judge."""
    for group, keys in groups:
        if keys and group.request.answer is None:
            raise ValueError(
                f"{group.places[keys[0]]}: the reward of its repair is not known: write 'ground_truth', and the reward "
                "function judges it, or 'repair_reward'"
            )


def judge(
    groups: Sequence[Group],
    candidates: Sequence[Candidates],
    decode: Callable[[Sequence[int]], str],
    open_reward: Callable[[], TaskReward],
) -> None:
    """Put the missing rewards into the candidates, all judged together.

    Args:
        groups: the prompts.
        candidates: of each.
        decode: token ids -> text without special tokens.
        open_reward: r_task; not called where nothing is to be judged.

    Raises:
        ValueError: a prompt without a ground truth, or as `TaskReward`.
    """
    missing = [(group, own, ids) for group, own in zip(groups, candidates, strict=True) for ids in own.unjudged()]
    check_judgeable(
        (group, [key for key, samples in own.samples.items() if any(one.token_ids == ids for one in samples)])
        for group, own, ids in missing
    )
    if not missing:
        return
    answers = [
        Answer(group.first.data_source, decode(ids), group.request.answer, group.first.extra_info)
        for group, _, ids in missing
    ]
    for (_, own, ids), reward in zip(missing, open_reward().score(answers), strict=True):
        own.rewards[ids] = reward
