#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model: verl's own SFT trainer on D_rep, Eq. 1. The loss is on y* only: the prompt with question,
# wrong response and reference is a user turn, y* the assistant's. Data:
#   verl-df repair-data sample ... ; export ; import ; parquet --out-sft repair_sft.parquet
# The model starts from the policy (phi <- theta), so that repairs stay in the policy's distribution.
# Variables are explained in examples/launch.sh, the numbers are in recipe/df/config/sft/repair.yaml:
#   DATA=my.parquet NPROC=4 bash examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh
RUN=qwen2_5_vl_7b POLICY=${POLICY:-Qwen/Qwen2.5-VL-7B-Instruct}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_sft "$@"
