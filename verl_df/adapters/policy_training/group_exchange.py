# SPDX-License-Identifier: Apache-2.0
"""How a prompt's group travels from the trainer to a reward worker, and its repairs back.

verl lets its reward workers be called with rows of a DataProto only, so a group is one row with the column `df_group`,
which `DFRewardManager` hands to `GroupFeedback`. Only what the trainer does not have comes back: gates, and the tokens
of repairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError
from tensordict import TensorDict
from verl import DataProto
from verl.workers.rollout.llm_server import LLMServerClient

from verl_df.method.feedback import GroupRequest, GroupResult, RepairAttempt
from verl_df.method.metrics import GroupOutcome

GROUP = "df_group"
CLIENT = "df_repair_client"


@dataclass(frozen=True)
class GroupRow:
    """One prompt of the repair phase.

    Attributes:
        request: what the method needs.
        columns: the prompt's columns, for verl's reward; `raw_prompt` are its messages with images.
    """

    request: GroupRequest
    columns: dict[str, Any]


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
        attempts: for the log of pairs.
    """

    gates: dict[str, np.ndarray]
    repairs: tuple[RepairRow, ...]
    outcome: GroupOutcome
    attempts: tuple[RepairAttempt, ...]

    @property
    def repaired(self) -> list[str]:
        """Keys of the errors that have a right repair, and so a gate from a mask."""
        return [attempt.key for attempt in self.attempts if attempt.repair is not None]

    @classmethod
    def of(cls, result: GroupResult) -> "GroupAnswer":
        """What the trainer needs of the method's result."""
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
        return cls(gates, repairs, result.outcome, result.attempts)


def ask_workers(
    workers: Sequence[ActorHandle], rows: Sequence[GroupRow], client: LLMServerClient, timeout: float
) -> list[GroupAnswer]:
    """Send each group to a reward worker.

    Args:
        workers: verl's `RewardLoopWorker`s.
        rows: the groups.
        client: of the repair engine.
        timeout: seconds for all of them: a repair engine that died must end the run, not hang it.

    Returns:
        one answer for each row, in the order of `rows`.

    Raises:
        TimeoutError: they took longer than `timeout`.
    """
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    data = DataProto(
        batch=TensorDict({"dummy": torch.zeros(len(rows), 1)}, batch_size=len(rows)),
        non_tensor_batch={GROUP: column},
        meta_info={CLIENT: client},
    )
    shares = [list(range(start, len(rows), len(workers))) for start in range(min(len(workers), len(rows)))]
    calls = [
        worker.compute_score_batch.remote(data.select_idxs(share))
        for worker, share in zip(workers, shares, strict=False)
    ]
    try:
        of_workers = ray.get(calls, timeout=timeout)
    except GetTimeoutError as error:
        raise TimeoutError(
            f"the repairs of a batch of {len(rows)} prompts took longer than {timeout:.0f} s, twice "
            "df.repair.timeout_s: raise it, or look at the repair engine, which may have died"
        ) from error
    answers: dict[int, GroupAnswer] = {}
    for share, answer in zip(shares, of_workers, strict=True):
        answers.update(zip(share, (item[GROUP] for item in answer), strict=True))
    return [answers[position] for position in range(len(rows))]
