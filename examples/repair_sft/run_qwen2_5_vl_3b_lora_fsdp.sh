#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of Qwen2.5-VL-3B with LoRA, on one card: as run_qwen2_5_vl_7b_fsdp.sh.
# Stage 2 wants a whole model: docs/checkpoints.md says how an adapter becomes one.
RUN=qwen2_5_vl_3b_lora POLICY=${POLICY:-Qwen/Qwen2.5-VL-3B-Instruct}
NPROC=${NPROC:-1} BATCH=${BATCH:-16} LR=${LR:-1e-4} LORA_RANK=${LORA_RANK:-64}
MAX_LENGTH=${MAX_LENGTH:-4096} TOKENS_PER_GPU=${TOKENS_PER_GPU:-8192}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_sft "$@"
