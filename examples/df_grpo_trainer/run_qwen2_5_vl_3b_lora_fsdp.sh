#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GRPO on Qwen2.5-VL-3B with LoRA, for people with one card of 40 GB or more: as
# examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh, which says how to use it. A LoRA checkpoint becomes a model as
# docs/checkpoints.md says.
RUN=qwen2_5_vl_3b_lora                # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_grpo}                 # a file of recipe/df/config/objective; grpo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
policy "$@"
