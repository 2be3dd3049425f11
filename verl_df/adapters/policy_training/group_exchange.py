# SPDX-License-Identifier: Apache-2.0
"""How a prompt's group travels from the trainer to a reward worker, and its repairs back.

verl lets its reward workers be called with rows of a DataProto only, so a group is one row with the column `df_group`,
which `DFRewardManager` hands to `GroupFeedback`. Only what the trainer does not have comes back: gates, and the tokens
of repairs. Where groups are logged the other candidates come too, long ones behind a reference into Ray's store: these
travel only if it is their group that is logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
from ray import ObjectRef

from verl_df.method.feedback import GroupRequest, GroupResult, RepairAttempt
from verl_df.method.group_records import LOGGED_TOKENS
from verl_df.method.metrics import GroupOutcome

GROUP = "df_group"
CLIENT = "df_repair_client"

Candidates = dict[str, tuple[np.ndarray, ...]]
"""Token ids of all repair candidates by the key of their rollout, int32, cut after `LOGGED_TOKENS` + 1."""

_SMALL = 1 << 14  # bytes: putting an object into the store takes longer than sending as much, over a millisecond


@dataclass(frozen=True)
class GroupRow:
    """One prompt of the repair phase.

    Attributes:
        request: what the method needs.
        columns: the prompt's columns, for verl's reward; `raw_prompt` are its messages with images.
    """

    request: GroupRequest
    columns: dict[str, Any]

    @property
    def place(self) -> tuple[str, tuple[tuple[int, ...], ...]]:
        """Where the group stands in a batch, whenever it was complete: by its row of the data, then by its rollouts."""
        return str(self.columns["index"]), tuple(rollout.token_ids for rollout in self.request.rollouts)


@dataclass(frozen=True, eq=False)
class RepairRow:
    """A repair that becomes a row of the batch.

    Attributes:
        source: key of the rollout that it repairs.
        token_ids: int64 [T′].
        loss_mask: bool [T′], False for tool and observation tokens.
        gate: float32 [T′].
        r_task: in [0, 1].
        reward: what the policy is trained on; r_task unless verl's manager shapes it.
    """

    source: str
    token_ids: np.ndarray
    loss_mask: np.ndarray
    gate: np.ndarray
    r_task: float
    reward: float


@dataclass(frozen=True, eq=False)
class GroupAnswer:
    """The optimised group as it travels back.

    Attributes:
        gates: float32 [T] of each rollout that stays in the batch, by its key, in the group's order.
        repairs: in the group's order, after the rollouts.
        outcome: what is counted.
        attempts: for the log of pairs, without their candidates.
        candidates: `Candidates` or a reference to them, where groups are logged; see `fetch_candidates`.
    """

    gates: dict[str, np.ndarray]
    repairs: tuple[RepairRow, ...]
    outcome: GroupOutcome
    attempts: tuple[RepairAttempt, ...]
    candidates: Candidates | ObjectRef | None = None

    @property
    def repaired(self) -> list[str]:
        """Keys of the errors that have a right repair, and so a gate from a mask."""
        return [attempt.key for attempt in self.attempts if attempt.repair is not None]

    @classmethod
    def of(cls, result: GroupResult, logged: bool = False) -> "GroupAnswer":
        """What the trainer needs of the method's result. logged: groups are, so that it may ask for the candidates."""
        gates = {member.key: member.gate for member in result.members if member.kind != "repair"}
        repairs = tuple(
            RepairRow(
                source=member.key,
                token_ids=np.asarray(member.token_ids, dtype=np.int64),
                loss_mask=np.asarray(member.loss_mask, dtype=bool),
                gate=member.gate,
                r_task=member.reward,
                reward=result.repair_rewards[member.key],
            )
            for member in result.members
            if member.kind == "repair"
        )
        attempts = tuple(replace(attempt, candidates=()) for attempt in result.attempts)
        kept = _candidates(result.attempts) if logged and attempts else None
        return cls(gates, repairs, result.outcome, attempts, kept)


def _candidates(attempts: Sequence[RepairAttempt]) -> Candidates | ObjectRef:
    found = {
        attempt.key: tuple(np.asarray(ids[: LOGGED_TOKENS + 1], dtype=np.int32) for ids in attempt.candidates)
        for attempt in attempts
    }
    size = sum(ids.nbytes for candidates in found.values() for ids in candidates)
    return found if size <= _SMALL else ray.put(found)


def fetch_candidates(answers: Sequence[GroupAnswer]) -> list[Candidates]:
    """The candidates of each group; none of a group without an attempt."""
    references = [answer.candidates for answer in answers if isinstance(answer.candidates, ObjectRef)]
    fetched = iter(ray.get(references) if references else ())
    return [next(fetched) if isinstance(one.candidates, ObjectRef) else one.candidates or {} for one in answers]
