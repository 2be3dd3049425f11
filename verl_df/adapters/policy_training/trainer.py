# SPDX-License-Identifier: Apache-2.0
"""verl's synchronous V1 trainer with a repair phase between sampling and the update."""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import ray
import torch
from omegaconf import DictConfig
from ray.actor import ActorHandle
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.utils import Role
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.debug import marked_timer
from verl.utils.debug.metrics import calculate_debug_metrics

from verl_df.adapters import data_plane
from verl_df.adapters.accounted import AFTER_SAMPLING, REPAIRS_IN_SAMPLING, AccountedTrainer
from verl_df.adapters.data_plane import Batch
from verl_df.adapters.policy_training import advantage  # noqa: F401  registers the estimators in the trainer's process
from verl_df.adapters.policy_training.blind_pass import BLIND_LOG_PROBS, add_blind_log_probs, hiding_of
from verl_df.adapters.policy_training.control_answers import control_answers
from verl_df.adapters.policy_training.group_exchange import GroupRow
from verl_df.adapters.policy_training.group_log import GroupLog
from verl_df.adapters.policy_training.group_stream import GroupStream, watch
from verl_df.adapters.policy_training.loss import LOSS
from verl_df.adapters.policy_training.pair_log import PairLog, log_folder
from verl_df.adapters.policy_training.placement import Placement, Site
from verl_df.adapters.policy_training.placements.registry import place
from verl_df.adapters.policy_training.references import add_shown_log_probs, read_references, write_shown
from verl_df.adapters.policy_training.repair_client import end_token_ids
from verl_df.adapters.policy_training.repair_server import ENGINE_NAME
from verl_df.adapters.policy_training.row_fields import GATE, IS_REPAIR, RowFields, use_row_fields
from verl_df.adapters.policy_training.row_metrics import log_prob_metrics, ratio_metrics
from verl_df.adapters.policy_training.rows import (
    PromptRows,
    add_to_rewards,
    is_repair_key,
    put_constant_gates,
    read_prompts,
    read_task_rewards,
    refuse_several_outputs,
    uid_of,
    write_groups,
)
from verl_df.adapters.policy_training.self_test import run_self_test
from verl_df.adapters.policy_training.shown_pass import SHOWN_LOG_PROBS, Shower
from verl_df.adapters.policy_training.token_log import TokenLog
from verl_df.adapters.policy_training.worker import MEAN_ROWS, MINI_BATCH_ROWS, DFActorRolloutRefWorker
from verl_df.adapters.run_memory import named_actors
from verl_df.controls.settings import IMITATES
from verl_df.ledger.rows import RepairTime
from verl_df.method.checks import preferred_response
from verl_df.method.feedback import GroupRequest
from verl_df.method.gates import gate_weights
from verl_df.method.group import ReferenceFrom, Rollout, Weight
from verl_df.method.metrics import aggregate
from verl_df.method.mini_batches import count_mini_batches, spread_empty_rows
from verl_df.method.weights import prompt_weights
from verl_df.settings.config import load_df_config
from verl_df.settings.loss_config import LossKind
from verl_df.token_weights.columns import TokenColumns
from verl_df.token_weights.durian import VISUAL_ENTROPY, durian_factors
from verl_df.token_weights.settings import WeightKind
from verl_df.token_weights.weigh import hidden_share, shows_a_response, token_weights, weight_metrics

logger = logging.getLogger(__name__)
logger.setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))

TRAINER_MODE = "df_sync"
SKIPPED = "df/skipped_steps"


class _NothingToTrain(Exception):
    """Every prompt of a batch was skipped: the rest of verl's step has nothing to work on.

    batch: the sampled rows. verl's `fit` clears them at the end of the step, and cannot clear an empty batch.
    """

    def __init__(self, batch: Batch):
        super().__init__("every prompt of the batch was skipped")
        self.batch = batch


@register_trainer(TRAINER_MODE)
class DFTrainer(AccountedTrainer):
    """Trains with gates from difference feedback, on rebuilt groups (section 3.6) or on the sampled ones (3.7).

    The only differences from `AccountedTrainer`: a repair model; groups are sent to it as they are complete, and take
    their optimised form after sampling; the gate handed to the advantage estimator and to the loss; a number of
    mini-batches that does not follow the number of rows; metrics of repaired rows; a batch without a usable prompt is
    skipped.
    """

    def __init__(self, config: DictConfig):
        self.df = load_df_config(config.df)
        self._uses_repairs = self.df.group.mode != "off"
        self._group_log = GroupLog(log_folder(config, self.df), self.df.log.groups_per_step)
        self._token_log = TokenLog(log_folder(config, self.df), self.df.log.token_arrays_per_step)
        super().__init__(config, log_folder(config, self.df), self.df.budget.device_seconds)

    # ---- set-up ------------------------------------------------------------------------------------------------------

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        for role in (Role.Actor, Role.ActorRollout, Role.ActorRolloutRef):
            if role in self.role_worker_mapping:
                self.role_worker_mapping[role] = ray.remote(DFActorRolloutRefWorker)
                self._actor_role = role

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        if self._uses_repairs:
            watch(buffer, early=partial(self._send_groups, early=True), full=self._send_groups)
        return buffer

    def _setup(self) -> None:
        super()._setup()  # leaves the policy's replicas asleep, so the repair engine finds the device free
        self._pair_log = PairLog.from_config(self.config, self.df)
        self._pair_log.start_after(self.global_steps)
        self._group_log.start_after(self.global_steps)
        self._token_log.start_after(self.global_steps)
        self._end_ids = end_token_ids(omega_conf_to_dataclass(self.config.actor_rollout_ref.model))
        if shows_a_response(self.df.weight.kind):
            self._shower = self._make_shower()
        if self._uses_repairs:
            pool = self.resource_pool_manager.get_resource_pool(self._actor_role)
            self._use(place(Site(self.config, self.df.repair, pool, self.llm_server_manager), self.df.control.kind))

    def _use(self, placement: Placement) -> None:
        """Send groups to this placement from now on. Raises: SelfTestError."""
        self._placement = placement
        workers = self.reward_loop_manager.reward_loop_workers
        self._stream = GroupStream(workers, placement, timeout_s=2 * self.df.repair.timeout_s)
        if placement.self_test:
            run_self_test(placement.connection, self._stream, self.df.repair, self.train_dataset, self.tokenizer)
        logger.info("repair model ready: %s", type(placement).__name__)

    def processes(self) -> dict[str, Sequence[ActorHandle]]:
        return {**super().processes(), "repair_engine": named_actors(ENGINE_NAME)}

    def _get_n_gpus_for_throughput(self) -> int:
        return super()._get_n_gpus_for_throughput() + (self._placement.devices if self._uses_repairs else 0)

    # ---- the step ----------------------------------------------------------------------------------------------------

    def _step_once(self, metrics: dict, timing_raw: dict, sample_batch_size: int) -> Batch:
        try:
            batch = super()._step_once(metrics, timing_raw, sample_batch_size)
        except _NothingToTrain as nothing:
            metrics[SKIPPED] = 1
            return nothing.batch
        metrics[SKIPPED] = 0
        return batch

    def _balance_batch(self, batch: Batch, metrics: dict, **kwargs: Any) -> Batch:
        """verl's first call after sampling, when the policy's replicas are asleep: the place of the repair phase."""
        if self._uses_repairs:
            with marked_timer(AFTER_SAMPLING, self.timing_raw, color="magenta"):
                groups = self._difference_feedback(batch, metrics)
            self._end_phase("repair")
            if groups is None:
                raise _NothingToTrain(batch)
            batch = groups
            if self.df.shaping.bonus:
                mended = [key for key in batch.keys if key in self._repaired]
                add_to_rewards(batch, mended, self.df.shaping.bonus)
                metrics["df/shaped"] = len(mended)
        else:
            refuse_several_outputs(batch.keys)
            put_constant_gates(batch, range(len(batch.keys)), 1.0)
        self._rows = len(batch.keys)
        batch = super()._balance_batch(batch, metrics, **kwargs)
        # verl copies the first real row into its padding rows, but only the columns that it knows get the right length
        is_padding = [tag.get("is_padding", False) for tag in batch.tags]
        put_constant_gates(batch, [position for position, empty in enumerate(is_padding) if empty], 0.0)
        if self._fixed_mini_batches:
            ranks = max(self.actor_rollout_wg._dispatch_info["actor"]) + 1
            batch.reorder(spread_empty_rows(is_padding, ranks, self._mini_batches))
        return batch

    def _send_groups(self, batch: Batch, early: bool = False) -> None:
        """Send the groups of these rollouts to the repair model, those that it does not have yet."""
        new = [number for number, key in enumerate(batch.keys) if not self._stream.knows(uid_of(key))]
        if new:
            keys, tags = ([column[number] for number in new] for column in (batch.keys, batch.tags))
            for prompt in read_prompts(data_plane.batch_of(batch, keys, tags)):
                self._stream.add(self._group_row(prompt), early)

    def on_sample_end(self) -> None:
        if self._uses_repairs:
            with marked_timer(REPAIRS_IN_SAMPLING, self.timing_raw, color="magenta"):
                self._stream.end_sampling()
        super().on_sample_end()

    def _difference_feedback(self, batch: Batch, metrics: dict) -> Batch | None:
        """The batch of optimised groups; None when every prompt is skipped, and the sampled rows stay as they are."""
        self._send_groups(batch)
        rows, answers, waited = self._stream.collect(dict.fromkeys(map(uid_of, batch.keys)))
        answers = control_answers(rows, answers, self.df.control, self.df.group.reward_threshold, self.global_steps)
        metrics.update(waited)
        metrics.update(self._placement.metrics())
        metrics.update(aggregate(answer.outcome for answer in answers))
        self._repair_time = _repair_time(metrics)
        self._repaired = {repaired for answer in answers for repaired in answer.repaired}
        records = self._pair_log.write(self.global_steps, rows, answers, self.tokenizer)
        self._group_log.write(self.global_steps, rows, answers, self.tokenizer)
        self._token_log.expect(records)
        every = self.df.log.table_every
        if every and self.global_steps % every == 0:
            self.logger.log_pairs(records, self.global_steps)
        return write_groups(batch, answers) if any(one.gates or one.repairs for one in answers) else None

    def _group_row(self, prompt: PromptRows) -> GroupRow:
        rollouts = tuple(
            Rollout(
                key=key,
                token_ids=tuple(response.tolist()),
                reward=reward,
                loss_mask=tuple(mask.bool().tolist()),
                finished=bool(len(response)) and int(response[-1]) in self._end_ids,
            )
            for key, response, mask, reward in zip(
                prompt.keys, prompt.responses, prompt.response_masks, prompt.task_rewards, strict=True
            )
        )
        answer = prompt.columns["reward_model"].get("ground_truth")
        preferred = self.df.group.reference is ReferenceFrom.PREFERRED
        request = GroupRequest(
            uid=prompt.uid,
            rollouts=rollouts,
            answer=None if answer is None else str(answer),
            seed=f"{self.df.group.reference_seed}-{self.global_steps}-{prompt.columns['index']}",
            preferred=preferred_response(prompt.columns["extra_info"]) if preferred else None,
        )
        return GroupRow(request=request, columns=prompt.columns)

    # ---- verl's hooks, with the gate ---------------------------------------------------------------------------------

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        if not self._fixed_mini_batches:
            return super()._get_required_batch_multiple(dp_size)
        return dp_size * self._mini_batches

    @property
    def _fixed_mini_batches(self) -> bool:
        """Whether the number of optimiser steps is kept apart from the number of rows.

        Switched off, verl's own arithmetic holds. With a critic it does too: verl cuts the critic's mini-batches with
        it, and no row is added or removed there.
        """
        return self.df.mini_batches == "fixed" and self._uses_repairs and not self.use_critic

    @property
    def _mini_batches(self) -> int:
        """Optimiser steps of this batch."""
        wanted = self.config.data.train_batch_size // self.config.actor_rollout_ref.actor.ppo_mini_batch_size
        return count_mini_batches(wanted, self._rows)

    def _compute_old_log_prob(self, batch: Batch, metrics: dict) -> Batch:
        shows = shows_a_response(self.df.weight.kind)
        references = self._write_references(batch, metrics) if shows else []
        batch = super()._compute_old_log_prob(batch, metrics)
        if self.config.actor_rollout_ref.rollout.calculate_log_probs:
            self._replace_rollout_log_probs(batch, metrics)
        hidden, temperature = self._hidden, self.config.actor_rollout_ref.rollout.temperature
        if hidden is not None:
            with marked_timer("df_blind_log_prob", self.timing_raw, color="blue"):
                hiding = hiding_of(self.processor, hidden, (self.df.weight.seed, self.global_steps))
                add_blind_log_probs(self.actor_rollout_wg, batch, hiding, temperature)
        if shows:
            with marked_timer("df_shown_log_prob", self.timing_raw, color="blue"):
                add_shown_log_probs(self.actor_rollout_wg, batch, references, temperature)
        return batch

    def _make_shower(self) -> Shower:
        arguments = self.config.data.get("apply_chat_template_kwargs") or {}
        return Shower(self.tokenizer, self.processor, arguments)

    def _write_references(self, batch: Batch, metrics: dict) -> list[str | None]:
        """What each row is shown in one more pass of the policy, written where the workers find it."""
        rng = np.random.default_rng([self.df.weight.seed, self.global_steps])
        decode = partial(self.tokenizer.decode, skip_special_tokens=True)
        uids = self._uids(batch)
        references = read_references(batch, uids, self._right(batch), self.df.group, decode, rng)
        of_rows = [text is not None for text, uid in zip(references, uids, strict=True) if uid is not None]
        metrics["df/weight/shown"] = float(np.mean(of_rows))
        write_shown(batch, references, self._shower)
        return references

    @property
    def _hidden(self) -> float | None:
        """The share of the picture that one more pass hides; None: there is none. The checks refuse two."""
        of_weights = hidden_share(self.df.weight.kind)
        return self.df.loss.hidden if of_weights is None else of_weights

    def _replace_rollout_log_probs(self, batch: Batch, metrics: dict) -> None:
        """Repairs have no log-probabilities from the rollout engine: take the policy's, and compare the others only."""
        repaired = [is_repair_key(key) for key in batch.keys]
        keys = [key for key, is_repair in zip(batch.keys, repaired, strict=True) if is_repair]
        if not keys:
            return
        fields = ["responses", "response_mask", "rollout_log_probs", "old_log_probs"]
        padded = DataProto(batch=data_plane.read_padded(batch, fields))
        metrics.update(calculate_debug_metrics(padded.select_idxs(np.logical_not(repaired))))
        known = data_plane.read(batch, keys, ["old_log_probs"])["old_log_probs"]
        data_plane.write(batch, {key: {"rollout_log_probs": row} for key, row in zip(keys, known, strict=True)})

    def _compute_advantage(self, batch: Batch, metrics: dict) -> Batch:
        fields = [GATE, IS_REPAIR, "response_mask", "old_log_probs", "entropy"]
        if self.use_reference_policy:
            fields.append("ref_log_prob")
        if self.use_critic:
            fields.append("values")
        if self._hidden is not None:
            fields.append(BLIND_LOG_PROBS)
        if shows_a_response(self.df.weight.kind):
            fields.append(SHOWN_LOG_PROBS)
        data = data_plane.read_padded(batch, fields)
        metrics.update(log_prob_metrics(data))
        weights = gate_weights(
            data[GATE].numpy(),
            data["response_mask"].bool().numpy(),
            normalizer=self.df.gate.normalizer,
            loss_agg_mode=self.config.actor_rollout_ref.actor.loss_agg_mode,
        )
        if self._weighs_prompts:
            weights = weights * prompt_weights(self._uids(batch))
        if not self.df.durian.neutral:
            factors = self._durian_factors(batch, data)
            metrics.update({"df/durian/mean": float(factors.mean()), "df/durian/max": float(factors.max())})
            weights = weights * factors[:, None]

        def weigh(advantages: torch.Tensor) -> torch.Tensor:
            columns = self._token_columns(batch, data, advantages)
            of_tokens = token_weights(columns, self.df.weight, step=self.global_steps)
            metrics.update(weight_metrics(of_tokens, columns.mask))
            return torch.from_numpy(of_tokens)

        self._token_log.mark(batch)
        columns_of_rows = RowFields(
            is_repair=data[IS_REPAIR],
            gate=torch.from_numpy(weights),
            imitates=self.df.control.kind in IMITATES,
            weigh=None if self.df.weight.kind is WeightKind.OFF else weigh,
            values=data["values"] if self.use_critic else None,
            see_advantages=self._token_log.see_advantages,
        )
        with use_row_fields(columns_of_rows):
            batch = super()._compute_advantage(batch, metrics)
        if self._uses_repairs:
            self._look_at_errors(batch, metrics)
        return batch

    def _durian_factors(self, batch: Batch, data: TensorDict) -> np.ndarray:
        columns = data_plane.read(batch, batch.keys, ["rm_scores", "extra_info"])
        complexity = None
        if self.df.durian.perception:
            complexity = np.array([float(row[VISUAL_ENTROPY]) for row in columns["extra_info"]])
        return durian_factors(
            rewards=np.array([float(scores.sum()) for scores in columns["rm_scores"]]),
            uids=self._uids(batch),
            log_probs=(data["old_log_probs"] * data["response_mask"]).sum(dim=-1).double().numpy(),
            complexity=complexity,
            config=self.df.durian,
        )

    def _right(self, batch: Batch) -> np.ndarray:
        """Whether r_task of each row reaches the threshold, bool [rows]."""
        return np.array(read_task_rewards(batch)) >= self.df.group.reward_threshold

    def _token_columns(self, batch: Batch, data: TensorDict, advantages: torch.Tensor) -> TokenColumns:
        uids = self._uids(batch)
        trained = np.array([uid is not None for uid in uids])

        def optional(name: str) -> np.ndarray | None:
            return data[name].float().numpy() if name in data.keys() else None

        return TokenColumns(
            log_probs=data["old_log_probs"].float().numpy(),
            entropy=data["entropy"].float().numpy(),
            mask=data["response_mask"].bool().numpy() & trained[:, None],
            right=self._right(batch),
            uids=uids,
            blind_log_probs=optional(BLIND_LOG_PROBS),
            shown_log_probs=optional(SHOWN_LOG_PROBS),
            advantages=advantages.float().numpy(),
        )

    @property
    def _weighs_prompts(self) -> bool:
        """Whether the loss is a mean over sequences that is to count each prompt the same."""
        by_sequence = self.config.actor_rollout_ref.actor.loss_agg_mode.startswith("seq-mean")
        return self._uses_repairs and by_sequence and self.df.group.weight is Weight.PROMPT

    @staticmethod
    def _uids(batch: Batch) -> list[str | None]:
        """Of each row's prompt; None for verl's padding rows."""
        return [
            None if tag.get("is_padding", False) else uid_of(key)
            for key, tag in zip(batch.keys, batch.tags, strict=True)
        ]

    def _look_at_errors(self, batch: Batch, metrics: dict) -> None:
        """Count, and on request clamp, advantages above 0 on gated tokens of errors: they reinforce what is wrong."""
        keys = [key for key in batch.keys if key in self._repaired]
        if not keys:
            metrics["df/positive_errors"] = 0
            return
        advantages = data_plane.read(batch, keys, ["advantages"])["advantages"]
        positive = {key: row for key, row in zip(keys, advantages, strict=True) if bool((row > 0).any())}
        metrics["df/positive_errors"] = len(positive)
        if self.df.gate.clamp_errors:
            data_plane.write(batch, {key: {"advantages": row.clamp(max=0)} for key, row in positive.items()})

    def _update_actor(self, batch: Batch, metrics: dict) -> Batch:
        if self._fixed_mini_batches:
            batch.extra_info[MINI_BATCH_ROWS] = len(batch.keys) // self._mini_batches
            batch.extra_info[MEAN_ROWS] = self._rows / self._mini_batches
            metrics["df/mini_batches"] = self._mini_batches
        if self.df.loss.kind is not LossKind.OFF:
            batch.extra_info[LOSS] = self.df.loss
        batch = super()._update_actor(batch, metrics)
        if self._token_log.wanted:
            self._token_log.write(self.global_steps, batch, self.actor_rollout_wg.take_row_updates())
        metrics.update(ratio_metrics(metrics))
        return batch

    # ---- what a run leaves -------------------------------------------------------------------------------------------

    def _compute_metrics(self, batch: Batch, metrics: dict, timing_raw: dict, global_steps: int, epoch: int) -> None:
        if not metrics[SKIPPED]:
            super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
            return
        metrics.update({"training/global_step": global_steps, "training/epoch": epoch})
        metrics.update({f"timing_s/{name}": value for name, value in timing_raw.items()})
        self._account(metrics)


def _repair_time(metrics: Mapping[str, float]) -> RepairTime:
    """What the repairs of a step took, by its metrics."""
    return RepairTime(
        waited=metrics["df/repair_seconds"],
        open=metrics["df/repair_open_seconds"],
        **{part: metrics[f"df/{part}_seconds"] for part in ("queue", "decode", "judge", "alignment")},
    )
