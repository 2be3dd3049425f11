# SPDX-License-Identifier: Apache-2.0
"""Rows of TransferQueue: groups of rollouts read out, repaired rows and gates written in.

A row's key is `{uid}_{session}_{index}`; a repair becomes a session of its own, so that verl's bookkeeping by session
takes it for one more rollout of the same prompt.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR
from verl_df.adapters.reward_request import TASK_REWARD, as_list
from verl_df.method.feedback import GroupResult
from verl_df.method.group import GroupMember

# Written by the reward manager for every rollout: the task reward before any shaping for length.
# Rollouts count their sessions from 0, repairs from here. verl reads a session as a number when it sorts keys.
FIRST_REPAIR_SESSION = 1_000_000
# Inputs with one entry per token of the sequence: those of a rollout do not fit its repair.
PER_TOKEN_INPUTS = ("mm_token_type_ids", "token_type_ids")

PROMPT_FIELDS = ("raw_prompt", "data_source", "reward_model", "extra_info", "index")
ROLLOUT_FIELDS = ("uid", "responses", "response_mask", "extra_fields")


@dataclass(frozen=True)
class PromptRows:
    """All rollouts of one prompt.

    keys, responses, response_masks, task_rewards: one entry per rollout, in the batch's order; responses and masks are
    int64 [response_length]. columns: the prompt's own columns (messages with images, ground truth, ...).
    """

    uid: str
    keys: tuple[str, ...]
    responses: tuple[torch.Tensor, ...]
    response_masks: tuple[torch.Tensor, ...]
    task_rewards: tuple[float, ...]
    columns: dict[str, Any]


def read_prompts(batch: KVBatchMeta) -> list[PromptRows]:
    """Group a sampled batch by uid, in order of first appearance.

    Raises:
        NotImplementedError: a session with several outputs (agent loops that return a list).
        KeyError: rollouts scored by another reward manager than DF's.
    """
    refuse_several_outputs(batch.keys)
    fields = [*ROLLOUT_FIELDS, *PROMPT_FIELDS]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    columns = {field: as_list(data[field]) for field in fields}
    positions: dict[str, list[int]] = {}
    for position, uid in enumerate(columns["uid"]):
        positions.setdefault(uid, []).append(position)
    return [_prompt_rows(uid, rows, batch.keys, columns) for uid, rows in positions.items()]


def _prompt_rows(uid: str, rows: Sequence[int], keys: Sequence[str], columns: dict[str, list]) -> PromptRows:
    return PromptRows(
        uid=uid,
        keys=tuple(keys[row] for row in rows),
        responses=tuple(columns["responses"][row] for row in rows),
        response_masks=tuple(columns["response_mask"][row] for row in rows),
        task_rewards=tuple(_task_reward(columns["extra_fields"][row]) for row in rows),
        columns={field: columns[field][rows[0]] for field in PROMPT_FIELDS},
    )


def _task_reward(extra_fields: dict[str, Any]) -> float:
    info = extra_fields.get("reward_extra_info", {})
    if TASK_REWARD not in info:
        raise KeyError(
            f"a rollout has no {TASK_REWARD!r} in its reward info ({sorted(info)}): set reward.reward_manager to DF's "
            "(as df_trainer.yaml does) and choose verl's manager with df.reward_manager"
        )
    return float(info[TASK_REWARD])


def refuse_several_outputs(keys: Iterable[str]) -> None:
    """Refuse rollouts with more than one output, switched off too: verl takes them together for its own `grpo` only,
    and would let each count in the group of a registered estimator.

    Raises:
        NotImplementedError: a session with several outputs.
    """
    several = [key for key in keys if not key.endswith("_0")]
    if several:
        raise NotImplementedError(
            f"DF groups take one output per rollout, but the agent loop returned more ({several[0]!r}): "
            "use an agent loop with a single output"
        )


def write_groups(batch: KVBatchMeta, results: Sequence[GroupResult]) -> KVBatchMeta:
    """Put the optimised groups in place of the sampled ones.

    Rows of members are kept and get their gate, repairs are added as rows of their own, all other rows are cleared
    (rows that stay behind would never be freed: verl clears the keys of the final batch only).

    Args:
        batch: the sampled batch.
        results: one per prompt.

    Returns:
        the batch of all groups, in the order of `results`; it may be empty. A group's rows stay together: mini-batches
        are cut in this order, and errors without their repairs would be a step on negative advantages alone.
    """
    tags = dict(zip(batch.keys, batch.tags, strict=True))
    repaired = [(result, member) for result in results for member in result.members if member.kind == "repair"]
    tags |= _put_repairs(batch.partition_id, repaired, tags)
    members = {_row_key(member): member for result in results for member in result.members}
    left = sorted(tags.keys() - members.keys())
    if left:
        tq.kv_clear(keys=left, partition_id=batch.partition_id)
    if members:
        put_gates(batch.partition_id, list(members), list(members.values()))
    return KVBatchMeta(
        partition_id=batch.partition_id,
        keys=list(members),
        tags=[tags[key] for key in members],
        fields=None,
        extra_info=batch.extra_info,
    )


def put_gates(partition_id: str, keys: Sequence[str], members: Sequence[GroupMember]) -> None:
    """Write the columns `df_gate` and `df_is_repair` of these rows."""
    rows = [
        {
            GATE: torch.from_numpy(member.gate),
            IS_REPAIR: torch.full((len(member.gate),), int(member.kind == "repair"), dtype=torch.int64),
        }
        for member in members
    ]
    tq.kv_batch_put(keys=list(keys), partition_id=partition_id, fields=list_of_dict_to_tensordict(rows))


def put_constant_gates(batch: KVBatchMeta, positions: Sequence[int], value: float) -> None:
    """Give rows a gate that is `value` on every token (1: verl's objective; 0: synthetic padding rows)."""
    if not positions:
        return
    lengths = [batch.tags[position]["response_len"] for position in positions]
    rows = [
        {GATE: torch.full((length,), value), IS_REPAIR: torch.zeros(length, dtype=torch.int64)} for length in lengths
    ]
    keys = [batch.keys[position] for position in positions]
    tq.kv_batch_put(keys=keys, partition_id=batch.partition_id, fields=list_of_dict_to_tensordict(rows))


def _put_repairs(
    partition_id: str, repaired: Sequence[tuple[GroupResult, GroupMember]], tags: dict[str, dict]
) -> dict[str, dict]:
    """Write the rows of repairs; returns their tags by key."""
    if not repaired:
        return {}
    sources = tq.kv_batch_get(keys=[member.key for _, member in repaired], partition_id=partition_id)
    # taken apart once: a row of the whole batch is cut out of every column anew, 4 ms each
    columns = {name: as_list(sources[name]) for name in sources.keys()}
    rows, new_tags = [], {}
    for position, (result, member) in enumerate(repaired):
        source = {name: column[position] for name, column in columns.items()}
        row = repair_row(source, member, result.repair_rewards[member.key])
        rows.append(row)
        new_tags[_row_key(member)] = _repair_tag(tags[member.key], row)
    fields = list_of_dict_to_tensordict(rows)
    tq.kv_batch_put(keys=list(new_tags), partition_id=partition_id, fields=fields, tags=list(new_tags.values()))
    return new_tags


def _row_key(member: GroupMember) -> str:
    return repair_key(member.key) if member.kind == "repair" else member.key


def repair_key(source_key: str) -> str:
    """Key of the repair of a rollout: the same uid, a session that no rollout has, index 0."""
    uid, session, _ = source_key.rsplit("_", 2)
    return f"{uid}_{FIRST_REPAIR_SESSION + int(session)}_0"


def repair_row(source: TensorDict | dict[str, Any], member: GroupMember, reward: float) -> dict[str, Any]:
    """The row of a repair: the wrong rollout's row with another response.

    Prompt, images and all other columns stay; response, masks, position ids and reward are the repair's. The response
    mask is 0 on tool and observation tokens, as verl has it; the reward is on the last token whatever that is. Old
    log-probabilities are computed by the policy afterwards, like those of every row. A rollout engine's
    log-probabilities do not exist: the repair was sampled from p_phi under another prompt. They are zero here and
    replaced when the policy's are known.

    Raises:
        NotImplementedError: the model takes inputs per token besides ids and positions.
        ValueError: as `extend_position_ids`.
    """
    row = {key: _copied(source[key]) for key in source.keys()}
    per_token = [name for name in PER_TOKEN_INPUTS if name in row.get("multi_modal_inputs", {})]
    if per_token:
        raise NotImplementedError(
            f"this model's processor gives inputs per token ({', '.join(per_token)}), which a repaired row of another "
            "length cannot take over: use df.group.mode=gate_only"
        )
    responses = torch.tensor(member.token_ids, dtype=torch.int64)
    mask = torch.tensor(member.loss_mask, dtype=torch.int64)
    scores = torch.zeros(len(responses), dtype=torch.float32)
    scores[-1] = reward
    input_ids = torch.cat([row["prompts"], responses])
    row.update(
        responses=responses,
        response_mask=mask,
        loss_mask=mask.clone(),
        input_ids=input_ids,
        position_ids=extend_position_ids(row["position_ids"], len(row["prompts"]), len(input_ids)),
        rm_scores=scores,
    )
    if "attention_mask" in row:
        row["attention_mask"] = torch.ones_like(input_ids)
    if "rollout_log_probs" in row:
        row["rollout_log_probs"] = torch.zeros(len(responses), dtype=torch.float32)
    row["extra_fields"] = {**row["extra_fields"], "reward_extra_info": {TASK_REWARD: member.reward}}
    return row


def _copied(value: Any) -> Any:
    """A copy. `deepcopy` of a tensor that is one row of a column copies the whole column."""
    return value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def extend_position_ids(position_ids: torch.Tensor, prompt_length: int, length: int) -> torch.Tensor:
    """Position ids of the same prompt with a response of another length.

    A response is plain text: on every axis of M-RoPE its positions go up by one per token from the prompt's last. The
    row's own response must follow the same rule, which is checked, so a model with other positions is refused, not
    mistrained.

    Args:
        position_ids: int64 [sequence] or [axes, sequence] of the source row.
        prompt_length: tokens of the prompt, at least 1.
        length: tokens of prompt and new response.

    Raises:
        ValueError: the source row's response does not count up by one.
    """

    def continued(end: int) -> torch.Tensor:
        steps = torch.arange(1, end - prompt_length + 1, dtype=position_ids.dtype)
        last = position_ids[..., prompt_length - 1 : prompt_length]
        return torch.cat([position_ids[..., :prompt_length], last + steps], dim=-1)

    if not torch.equal(continued(position_ids.shape[-1]), position_ids):
        raise ValueError(
            "position ids of a response do not count up by one from its prompt: this model's positions are not those "
            "of plain text, and a repaired row cannot be built for it"
        )
    return continued(length)


def _repair_tag(source_tag: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    prompt_len, response_len = len(row["prompts"]), len(row["responses"])
    return {
        **source_tag,
        "prompt_len": prompt_len,
        "response_len": response_len,
        "seq_len": prompt_len + response_len,
    }
