#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GSPO on Qwen2.5-VL-7B (table 1, 7B): FSDP2 and vLLM. Needs a repair model: examples/repair_sft, examples/repair_rl.
# The baseline on stock verl from the same numbers: examples/gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh.
# Variables are explained in examples/launch.sh, any key of verl or of `df:` can be appended:
#   DRY_RUN=1 TRAIN=my.parquet GPUS=4 bash examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh df.gate.kind=soft
RUN=qwen2_5_vl_7b                     # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_gspo}                 # a file of recipe/df/config/objective; gspo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
policy "$@"
