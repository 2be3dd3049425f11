#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of Qwen2.5-VL-3B with LoRA, on one card:
# examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
# Stage 2 wants a whole model: docs/checkpoints.md says how an adapter becomes one.
set -euo pipefail
export NAME=${NAME:-qwen2_5_vl_3b_lora} POLICY=${POLICY:-Qwen/Qwen2.5-VL-3B-Instruct}
export NPROC=${NPROC:-1} BATCH=${BATCH:-16} LR=${LR:-1e-4} LORA_RANK=${LORA_RANK:-64}
export MAX_LENGTH=${MAX_LENGTH:-4096} TOKENS_PER_GPU=${TOKENS_PER_GPU:-8192}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
