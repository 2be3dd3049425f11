# SPDX-License-Identifier: Apache-2.0
"""verl's policy losses on gated advantages, registered as `df_NAME`, and the worker's `loss_fn` that feeds them.

The gate already sits in the advantages, so the objective (Eq. 22, 23) is verl's own loss. What a registered loss adds
is sight: a repair was sampled from another model and prompt, so its ratio is watched apart from that of the policy's
own rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import get_policy_loss_fn, register_policy_loss
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric
from verl.workers.utils.losses import ppo_loss

from verl_df.adapters.policy_training.fipo import fipo_factors
from verl_df.adapters.policy_training.papo import picture_term
from verl_df.adapters.policy_training.row_fields import IS_REPAIR, LOGGED, RowFields, current_row_fields, use_row_fields
from verl_df.settings.loss_config import LossConfig, LossKind
from verl_df.settings.objectives import LOSSES, SEQUENCE_RATIO, gated

# Rides with the batch to the workers: the `df.loss` block.
LOSS = "df_loss"

# Sums, not means: a micro-batch may hold no repaired row. The trainer divides after verl has added them up.
RATIO_SUMS = ("tokens", "ratio_sum", "log_ratio_sum", "clipped_sum")


@dataclass(frozen=True)
class WatchedLoss:
    """One of verl's policy losses, unchanged, with the ratio of repaired rows apart among its metrics.

    Attributes:
        base: its name in verl's registry.
    """

    base: str

    def __call__(
        self,
        *,
        old_log_prob: torch.Tensor,
        log_prob: torch.Tensor,
        advantages: torch.Tensor,
        response_mask: torch.Tensor,
        config: Any,
        **others: Any,
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """verl's loss and metrics, plus `df/repaired/*` and `df/policy/*` (see `RATIO_SUMS`).

        Args:
            old_log_prob, log_prob: float [rows, response_length].
            advantages: float [rows, response_length], gated.
            response_mask: bool [rows, response_length].
            config: the actor's `ActorConfig`.
            others: what else verl gives, handed on.

        Raises:
            RuntimeError: outside a DF trainer.
        """
        mask = response_mask.bool()
        log_ratio = (log_prob.detach() - old_log_prob).masked_fill(~mask, 0.0)
        fields = current_row_fields(gated(self.base), mask.shape)
        asked = fields.loss
        more: dict[str, Any] = {}
        if asked.kind is LossKind.FIPO:
            factors = fipo_factors(log_ratio, advantages, mask, asked)
            advantages = advantages * factors.to(advantages.dtype)
            more = _factor_metrics(factors[mask])
        loss, metrics = get_policy_loss_fn(self.base)(
            old_log_prob=old_log_prob,
            log_prob=log_prob,
            advantages=advantages,
            response_mask=response_mask,
            config=config,
            **others,
        )
        if self.base in SEQUENCE_RATIO:
            mean = log_ratio.sum(dim=-1, keepdim=True) / mask.sum(dim=-1, keepdim=True).clamp(min=1)
            log_ratio = mean.expand_as(log_ratio)
        ratio, outside = _ratio(log_ratio, config)
        if fields.see_ratio is not None:
            fields.see_ratio(log_prob.detach(), ratio, outside)
        return loss, metrics | more | _ratio_sums(fields.is_repair.bool(), log_ratio, ratio, outside.float(), mask)


for _base in LOSSES:
    register_policy_loss(gated(_base))(WatchedLoss(_base))


def _factor_metrics(factors: torch.Tensor) -> dict[str, float]:
    """Of a micro-batch, which verl averages; 1 without a token, for all of them must have the same names."""
    mean, largest = (factors.mean(), factors.max()) if factors.numel() else (1.0, 1.0)
    return {"fipo/mean": float(mean), "fipo/max": float(largest)}


def _ratio(log_ratio: torch.Tensor, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The ratio, and whether it is outside 1 - ε_low, 1 + ε_high, which some of verl's losses use in another way.

    log_ratio: log of the ratio, per token; in GSPO all tokens of a row share it.
    """
    low = config.clip_ratio_low if config.clip_ratio_low is not None else config.clip_ratio
    high = config.clip_ratio_high if config.clip_ratio_high is not None else config.clip_ratio
    ratio = log_ratio.clamp(-20.0, 20.0).exp()
    return ratio, (ratio < 1 - low) | (ratio > 1 + high)


def _ratio_sums(
    is_repair: torch.Tensor, log_ratio: torch.Tensor, ratio: torch.Tensor, outside: torch.Tensor, mask: torch.Tensor
) -> dict[str, Any]:
    """Sums over the tokens of repaired rows ("repaired") and of the policy's own rows ("policy").

    is_repair: bool [rows, 1]; the others are [rows, response_length].
    """
    sums: dict[str, Any] = {}
    for name, rows in (("repaired", mask & is_repair), ("policy", mask & ~is_repair)):
        values = (rows.sum(), ratio[rows].sum(), log_ratio[rows].sum(), outside[rows].sum())
        for key, value in zip(RATIO_SUMS, values, strict=True):
            sums[f"df/{name}/{key}"] = float(value)
    return sums


RowUpdates = dict[int, dict[str, np.ndarray]]
"""By a row's number: log_prob and ratio, float32 [response_length or more], and clipped, bool of the same length."""


def df_ppo_loss(
    config: Any,
    model_output: dict,
    data: TensorDict,
    dp_group: Any = None,
    *,
    updates: RowUpdates | None = None,
) -> tuple[torch.Tensor, dict]:
    """verl's `ppo_loss` with DF's columns in reach of the registered policy loss.

    Args:
        config: the actor's `ActorConfig`.
        model_output: nested `log_probs` (and `entropy`) of one micro-batch.
        data: the micro-batch, with the nested column `df_is_repair` [rows, 1], and `df_loss` where a method changes the
            loss, and `df_logged` [rows, 1] where the tokens of a row are logged.
        updates: gets what the loss saw of those rows; a later pass over a row replaces an earlier one.

    Returns:
        the scalar loss and its metrics.

    Raises:
        KeyError: `df_is_repair` is missing (rows that did not pass through the DF trainer).
    """
    is_repair = data.select(IS_REPAIR, strict=True).to_padded_tensor()[IS_REPAIR]
    asked = tu.get(data, key=LOSS, default=LossConfig())
    see = None if updates is None or LOGGED not in data.keys() else _keeper(data, updates)
    with use_row_fields(RowFields(is_repair=is_repair, loss=asked, see_ratio=see)):
        loss, metrics = ppo_loss(config, model_output, data, dp_group)
    if asked.kind is LossKind.PAPO:
        term = picture_term(config, model_output, data)
        loss = loss - asked.coefficient * term
        metrics["papo/dependence"] = Metric(value=term.detach(), aggregation=metrics["actor/pg_loss"].aggregation)
    for key in [key for key in metrics if key.startswith("df/")]:
        # verl labels every metric of a registered loss a mean over micro-batches; ours are sums
        metrics[key] = Metric(value=metrics[key].values[0], aggregation=AggregationType.SUM)
    return loss, metrics


def _keeper(data: TensorDict, updates: RowUpdates) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]:
    """Copies the logged rows of this micro-batch out of what the loss saw. The others never leave the device."""
    numbers = data.select(LOGGED).to_padded_tensor()[LOGGED][:, 0].tolist()
    logged = [row for row, number in enumerate(numbers) if number >= 0]

    def see(log_prob: torch.Tensor, ratio: torch.Tensor, clipped: torch.Tensor) -> None:
        for row in logged:
            updates[numbers[row]] = {
                "log_prob": log_prob[row].float().cpu().numpy(),
                "ratio": ratio[row].float().cpu().numpy(),
                "clipped": clipped[row].cpu().numpy(),
            }

    return see
