#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-DAPO on Qwen2.5-VL-7B: as examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh, which says how to use it. The
# baseline: examples/dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen2_5_vl_7b,dapo                # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_dapo}                 # a file of recipe/df/config/objective; dapo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
OVERLONG=${OVERLONG:-${MAX_RESPONSE:+$((MAX_RESPONSE / 5))}}
number OVERLONG reward.reward_kwargs.overlong_buffer_cfg.len    # tokens before the limit from which the reward falls
policy "$@"
