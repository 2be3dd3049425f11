#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-PPO on Qwen2.5-VL-7B (Eq. 25-28), with a critic: as examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh, which says
# how to use it. The baseline: examples/ppo_trainer/run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen2_5_vl_7b,ppo                 # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_ppo}                  # a file of recipe/df/config/objective; ppo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
number CRITIC_LR critic.optim.lr
number CRITIC_WARMUP trainer.critic_warmup                      # batches that train the critic alone
policy "$@"
