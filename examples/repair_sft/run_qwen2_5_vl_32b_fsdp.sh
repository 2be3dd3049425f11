#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of Qwen2.5-VL-32B: examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
set -euo pipefail
export NAME=${NAME:-qwen2_5_vl_32b} POLICY=${POLICY:-Qwen/Qwen2.5-VL-32B-Instruct}
export NNODES=${NNODES:-4} TOKENS_PER_GPU=${TOKENS_PER_GPU:-12288}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
