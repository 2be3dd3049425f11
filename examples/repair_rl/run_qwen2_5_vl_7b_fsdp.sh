#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model: reinforcement learning on r_rep (Eq. 4) with the policy's own algorithm, here GSPO as in
# the paper's 7B runs. Data: repair tasks, which need no annotation:
#   verl-df repair-data parquet DIR --out-rl repair_tasks.parquet --held-out 0.1 --out-val repair_tasks_val.parquet
# The auditor (paper: Qwen2.5-VL-72B-Instruct) is any OpenAI-compatible endpoint. Variables: examples/launch.sh.
#   AUDITOR_URL=http://host:8000/v1 GPUS=4 bash examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh
# Then a folder for df.repair.model_path, from the newest checkpoint:
#   cd outputs/qwen2_5_vl_7b/repair_rl && verl-df checkpoint merge checkpoints --out model
RUN=qwen2_5_vl_7b                     # its numbers and their sources: recipe/df/config/run, and repair_rl.yaml there
ALGO=${ALGO:-gspo}                    # gspo, grpo or dapo: the policy's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_rl "$@"
