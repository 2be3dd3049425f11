#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model of Qwen2.5-VL-3B with LoRA, on one card:
# examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
set -euo pipefail
export NAME=${NAME:-qwen2_5_vl_3b_lora} BASE=${BASE:-Qwen/Qwen2.5-VL-3B-Instruct}
export ALGO=${ALGO:-grpo} GPUS=${GPUS:-1} TASKS=${TASKS:-32} LR=${LR:-1e-5} LORA_RANK=${LORA_RANK:-64}
export MAX_PROMPT=${MAX_PROMPT:-4096} MAX_RESPONSE=${MAX_RESPONSE:-1024}
export TOKENS_PER_GPU=${TOKENS_PER_GPU:-8192}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
