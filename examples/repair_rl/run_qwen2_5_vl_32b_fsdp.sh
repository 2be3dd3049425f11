#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model of Qwen2.5-VL-32B: examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
set -euo pipefail
export NAME=${NAME:-qwen2_5_vl_32b} BASE=${BASE:-Qwen/Qwen2.5-VL-32B-Instruct}
export ALGO=${ALGO:-gspo} NNODES=${NNODES:-4} TP=${TP:-4} TOKENS_PER_GPU=${TOKENS_PER_GPU:-12288}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
