# SPDX-License-Identifier: Apache-2.0
"""What a control of the experiment, or another method's weights, need."""

from collections.abc import Mapping
from typing import Any

from verl_df.controls.settings import ANSWERS_AGAIN, IMITATES, USES_TRUTH, Control
from verl_df.method.group import GroupMode
from verl_df.settings.config import ConfigError, DFConfig
from verl_df.settings.loss_config import LossKind
from verl_df.token_weights.settings import WeightKind
from verl_df.token_weights.weigh import hidden_share, shows_a_response

# verl's loss without a ratio.
LIKELIHOOD = "df_gpg"


def check_control(df: DFConfig, loss_mode: str) -> None:
    """Refuse a control that could change nothing, or would be another one.

    Args:
        df: the `df:` block.
        loss_mode: verl's `actor_rollout_ref.actor.policy_loss.loss_mode`.

    Raises:
        ConfigError: it replaces a part that is switched off, needs a truth that is not there, or another loss or mode.
    """
    kind = df.control.kind
    if kind is not Control.OFF and df.group.mode is GroupMode.OFF:
        raise ConfigError(f"df.control.kind={kind} replaces a part of DF, which df.group.mode=off switches off")
    if kind in USES_TRUTH and not df.truth.path:
        raise ConfigError(f"df.control.kind={kind} needs to know which tokens are wrong: set df.truth.path")
    if kind in IMITATES and loss_mode != LIKELIHOOD:
        raise ConfigError(
            f"df.control.kind={kind} trains on the negative log-likelihood, and actor_rollout_ref.actor.policy_loss."
            f"loss_mode={loss_mode} is none: set it to {LIKELIHOOD}, whose loss is −A·log π"
        )
    if kind in IMITATES and df.group.mode != IMITATES[kind]:
        raise ConfigError(
            f"df.control.kind={kind} has no rows to imitate with df.group.mode={df.group.mode}: set it to "
            f"{IMITATES[kind]}"
        )
    if kind in ANSWERS_AGAIN and df.repair.placement != "policy":
        raise ConfigError(
            f"df.control.kind={kind} takes answers of the policy for repairs, and df.repair.placement="
            f"{df.repair.placement} asks another model: set df.repair.placement=policy and leave df.repair.model_path "
            "out"
        )


def check_shaping(df: DFConfig) -> None:
    """Refuse shaped rewards that nothing shapes. Raises: ConfigError."""
    if df.shaping.bonus and df.group.mode is GroupMode.OFF:
        raise ConfigError(
            f"df.shaping.strength={df.shaping.strength} rewards wrong rollouts that have a right repair, and with "
            "df.group.mode=off nothing is repaired: set it to gate_only"
        )


def check_durian(df: DFConfig, algorithm: Mapping[str, Any]) -> None:
    """Refuse other divisors of an advantage that is not GRPO's. algorithm: verl's block. Raises: ConfigError."""
    if df.durian.neutral:
        return
    if algorithm["adv_estimator"] != "df_grpo" or not algorithm.get("norm_adv_by_std_in_grpo", True):
        raise ConfigError(
            f"df.durian divides GRPO's advantage by other deviations, and algorithm.adv_estimator="
            f"{algorithm['adv_estimator']} with norm_adv_by_std_in_grpo="
            f"{algorithm.get('norm_adv_by_std_in_grpo', True)} is divided by none of a group: choose an objective on "
            "df_grpo with norm_adv_by_std_in_grpo=True"
        )
    if algorithm.get("use_kl_in_reward", False):
        raise ConfigError(
            "df.durian takes the deviations of rewards, and algorithm.use_kl_in_reward=True puts a penalty into them "
            "that it does not see: use actor_rollout_ref.actor.use_kl_loss=True"
        )


def check_weight(df: DFConfig, bypass: bool) -> None:
    """Refuse weights without the columns that they are computed from.

    Args:
        df: the `df:` block.
        bypass: verl's `algorithm.rollout_correction.bypass_mode`, in which the policy makes no pass over its rollouts.

    Raises:
        ConfigError: there is no entropy, and the log-probabilities are the engine's.
    """
    if bypass and (df.weight.kind is not WeightKind.OFF or df.loss.hidden is not None):
        who = f"df.loss.kind={df.loss.kind}" if df.weight.kind is WeightKind.OFF else f"df.weight.kind={df.weight.kind}"
        raise ConfigError(
            f"{who} needs the policy's own log-probabilities and entropies: set "
            "algorithm.rollout_correction.bypass_mode=False"
        )


# The words around a response that is shown, in tokens at most.
SHOWN_WORDS = 64


def check_shown(df: DFConfig, prompt: int, response: int, longest: int | None) -> None:
    """Refuse a pass that shows a response to prompts which then are longer than a micro-batch.

    Args:
        df: the `df:` block.
        prompt, response: their longest, in tokens.
        longest: tokens of a micro-batch of log-probabilities; None: no limit.

    Raises:
        ConfigError: it does not fit.
    """
    wanted = prompt + 2 * response + SHOWN_WORDS
    if shows_a_response(df.weight.kind) and longest is not None and longest < wanted:
        raise ConfigError(
            f"df.weight.kind={df.weight.kind} shows a response in the prompt of another one, which can have {wanted} "
            f"tokens together, and actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu={longest}: raise it"
        )


def check_loss(df: DFConfig, steps: int) -> None:
    """Refuse a change of the loss that could change nothing.

    Args:
        df: the `df:` block.
        steps: optimiser steps of a batch, all epochs.

    Raises:
        ConfigError: there is one, at which the policy is still the one that sampled; or two passes with other parts of
            the picture hidden.
    """
    if df.loss.hidden is not None and hidden_share(df.weight.kind) is not None:
        raise ConfigError(
            f"df.loss.kind={df.loss.kind} and df.weight.kind={df.weight.kind} each need a pass of the policy with the "
            "picture hidden, and not the same share of it: choose one of them"
        )
    if df.loss.kind is LossKind.FIPO and steps < 2:
        raise ConfigError(
            "df.loss.kind=fipo looks at how the policy has moved since the batch was sampled, and with one optimiser "
            "step a batch it has not: set actor_rollout_ref.actor.ppo_mini_batch_size to a half of "
            "data.train_batch_size or less (the authors take 8 steps), or ppo_epochs to 2"
        )
