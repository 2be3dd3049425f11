# SPDX-License-Identifier: Apache-2.0
"""PAPO: a term of the loss that rewards tokens for depending on the picture.

Source: "Perception-Aware Policy Optimization"; the authors' code was read. Theirs: the estimate, its coefficient, and
log-probabilities of the hidden picture that are π_old's constants. Ours: patches blackened after the processor's
resizing, the base's aggregation, and no term for entropies, which theirs leave out by default.
"""

from typing import Any

import torch
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import agg_loss, kl_penalty
from verl.workers.utils.padding import no_padding_2_padding

from verl_df.adapters.policy_training.blind_pass import BLIND_LOG_PROBS


def picture_term(config: Any, model_output: dict, data: TensorDict) -> torch.Tensor:
    """Mean of k3(log π_θ, log π_hidden) over tokens, aggregated as the loss is: a scalar with a gradient.

    Args:
        config: the actor's `ActorConfig`, after verl's loss has noted the sizes of the batch in it.
        model_output: nested `log_probs` of a micro-batch.
        data: the micro-batch, with the nested column `df_blind_log_probs`.
    """
    log_prob = no_padding_2_padding(model_output["log_probs"], data)
    padded = data.select("response_mask", BLIND_LOG_PROBS).to_padded_tensor()
    dependence = kl_penalty(log_prob, padded[BLIND_LOG_PROBS], "low_var_kl")
    mask = padded["response_mask"].to(bool)
    mode = config.loss_agg_mode
    return agg_loss(loss_mat=dependence, loss_mask=mask, loss_agg_mode=mode, **config.global_batch_info)
