# SPDX-License-Identifier: Apache-2.0
"""Rows of the data plane: groups of rollouts read out, repaired rows and gates written in.

A row's key is `{uid}_{session}_{index}`; a repair becomes a session of its own, so that verl's bookkeeping by session
takes it for one more rollout of the same prompt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from verl_df.adapters import data_plane
from verl_df.adapters.data_plane import Batch
from verl_df.adapters.policy_training.group_exchange import GroupAnswer, RepairRow
from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR
from verl_df.adapters.reward_request import TASK_REWARD

# Rollouts count their sessions from 0, repairs from here. verl reads a session as a number when it sorts keys.
FIRST_REPAIR_SESSION = 1_000_000
# Inputs with one entry per token of the sequence: those of a rollout do not fit its repair.
PER_TOKEN_INPUTS = ("mm_token_type_ids", "token_type_ids")

PROMPT_FIELDS = ("raw_prompt", "data_source", "reward_model", "extra_info", "index")
ROLLOUT_FIELDS = ("responses", "response_mask", "extra_fields")


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


def read_prompts(batch: Batch) -> list[PromptRows]:
    """Group a sampled batch by the uid in its keys, in order of first appearance; a prompt's rollouts in the order of
    their sessions, not in the one in which they were finished. (The column `uid` of replayed rollouts is the recorded
    run's.)

    A prompt's own columns, its picture among them, are fetched from its first row alone.

    Raises:
        NotImplementedError: a session with several outputs (agent loops that return a list).
        KeyError: rollouts scored by another reward manager than DF's.
    """
    refuse_several_outputs(batch.keys)
    rollouts = data_plane.read(batch, batch.keys, ROLLOUT_FIELDS)
    positions: dict[str, list[int]] = {}
    for position, key in enumerate(batch.keys):
        positions.setdefault(uid_of(key), []).append(position)
    prompts = data_plane.read(batch, [batch.keys[rows[0]] for rows in positions.values()], PROMPT_FIELDS)
    for rows in positions.values():
        rows.sort(key=lambda row: int(batch.keys[row].rsplit("_", 2)[1]))
    return [
        PromptRows(
            uid=uid,
            keys=tuple(batch.keys[row] for row in rows),
            responses=tuple(rollouts["responses"][row] for row in rows),
            response_masks=tuple(rollouts["response_mask"][row] for row in rows),
            task_rewards=tuple(_task_reward(rollouts["extra_fields"][row]) for row in rows),
            columns={field: prompts[field][number] for field in PROMPT_FIELDS},
        )
        for number, (uid, rows) in enumerate(positions.items())
    ]


def read_task_rewards(batch: Batch) -> list[float]:
    """r_task of every row, repairs and padding rows included."""
    return [_task_reward(fields) for fields in data_plane.read(batch, batch.keys, ["extra_fields"])["extra_fields"]]


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


def write_groups(batch: Batch, answers: Sequence[GroupAnswer]) -> Batch:
    """Put the optimised groups in place of the sampled ones.

    Rollouts that stay get their gate, repairs are added as rows of their own, all other rows are cleared (rows that
    stay behind would never be freed: verl clears the keys of the final batch only).

    Args:
        batch: the sampled batch.
        answers: one per prompt.

    Returns:
        the batch of all groups, in the order of `answers`; it may be empty. A group's rows stay together: mini-batches
        are cut in this order, and errors without their repairs would be a step on negative advantages alone.
    """
    tags = dict(zip(batch.keys, batch.tags, strict=True))
    tags |= _put_repairs(batch, [repair for answer in answers for repair in answer.repairs], tags)
    gates: dict[str, np.ndarray] = {}
    for answer in answers:
        gates |= answer.gates | {repair_key(repair.source): repair.gate for repair in answer.repairs}
    data_plane.clear(batch, sorted(tags.keys() - gates.keys()))
    _put_gates(batch, {key: torch.from_numpy(gate) for key, gate in gates.items()})
    return data_plane.batch_of(batch, list(gates), [tags[key] for key in gates])


def _put_gates(batch: Batch, gates: Mapping[str, torch.Tensor]) -> None:
    """Write the columns `df_gate` and `df_is_repair` of these rows."""
    flags = {key: torch.tensor([int(is_repair_key(key))]) for key in gates}
    data_plane.write(batch, {key: {GATE: gate, IS_REPAIR: flags[key]} for key, gate in gates.items()})


def add_to_rewards(batch: Batch, keys: Sequence[str], bonus: float) -> None:
    """Add to the reward of these rows, which is on the last token of a response. r_task stays."""
    if keys:
        scores = data_plane.read(batch, keys, ["rm_scores"])["rm_scores"]
        raised = [torch.cat([row[:-1], row[-1:] + bonus]) for row in scores]
        data_plane.write(batch, {key: {"rm_scores": row} for key, row in zip(keys, raised, strict=True)})


def put_constant_gates(batch: Batch, positions: Sequence[int], value: float) -> None:
    """Give rows a gate that is `value` on every token (1: verl's objective; 0: synthetic padding rows)."""
    lengths = {batch.keys[position]: batch.tags[position]["response_len"] for position in positions}
    _put_gates(batch, {key: torch.full((length,), value) for key, length in lengths.items()})


def _put_repairs(
    batch: Batch, repairs: Sequence[RepairRow], tags: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Write the rows of repairs; returns their tags by key."""
    if not repairs:
        return {}
    columns = data_plane.read(batch, [repair.source for repair in repairs])
    rows, new_tags = {}, {}
    for position, repair in enumerate(repairs):
        key = repair_key(repair.source)
        rows[key] = repair_row({name: column[position] for name, column in columns.items()}, repair)
        new_tags[key] = _repair_tag(tags[repair.source], rows[key])
    data_plane.write(batch, rows, list(new_tags.values()))
    return new_tags


def repair_key(source_key: str) -> str:
    """Key of the repair of a rollout: the same uid, a session that no rollout has, index 0."""
    uid, session, _ = source_key.rsplit("_", 2)
    return f"{uid}_{FIRST_REPAIR_SESSION + int(session)}_0"


def uid_of(key: str) -> str:
    """The prompt of a row, by its key."""
    return key.rsplit("_", 2)[0]


def is_repair_key(key: str) -> bool:
    """Whether a row is a repair, by its key."""
    return int(key.rsplit("_", 2)[1]) >= FIRST_REPAIR_SESSION


def repair_row(source: Mapping[str, Any], repair: RepairRow) -> dict[str, Any]:
    """The row of a repair: the wrong rollout's row with another response.

    Prompt, images and all other columns are the source's own objects, not copies: they come fresh from the queue and go
    back into it, and one picture can be tens of megabytes. Response, masks, position ids and reward are the repair's.
    The response mask is 0 on tool and observation tokens, as verl has it; the reward is on the last token whatever that
    is. Old log-probabilities are computed by the policy afterwards, like those of every row. A rollout engine's
    log-probabilities do not exist: the repair was sampled from p_phi under another prompt. They are zero here and
    replaced when the policy's are known.

    Args:
        source: columns of the wrong rollout; not changed.
        repair: what takes the response's place.

    Raises:
        NotImplementedError: the model takes inputs per token besides ids and positions.
        ValueError: as `extend_position_ids`.
    """
    per_token = [name for name in PER_TOKEN_INPUTS if name in source.get("multi_modal_inputs", {})]
    if per_token:
        raise NotImplementedError(
            f"this model's processor gives inputs per token ({', '.join(per_token)}), which a repaired row of another "
            "length cannot take over: use df.group.mode=gate_only"
        )
    responses = torch.from_numpy(repair.token_ids)
    mask = torch.from_numpy(repair.loss_mask).to(torch.int64)
    scores = torch.zeros(len(responses), dtype=torch.float32)
    scores[-1] = repair.reward
    prompt = source["prompts"]
    input_ids = torch.cat([prompt, responses])
    changed = {
        "responses": responses,
        "response_mask": mask,
        "loss_mask": mask.clone(),
        "input_ids": input_ids,
        "position_ids": extend_position_ids(source["position_ids"], len(prompt), len(input_ids)),
        "rm_scores": scores,
        "attention_mask": torch.ones_like(input_ids),
        "rollout_log_probs": torch.zeros(len(responses), dtype=torch.float32),
        "extra_fields": {**source["extra_fields"], "reward_extra_info": {TASK_REWARD: repair.r_task}},
    }
    return {name: changed.get(name, value) for name, value in source.items()}


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
