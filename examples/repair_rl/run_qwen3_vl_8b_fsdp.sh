#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model of Qwen3-VL-8B: examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
set -euo pipefail
export NAME=${NAME:-qwen3_vl_8b} BASE=${BASE:-Qwen/Qwen3-VL-8B-Instruct}
export ALGO=${ALGO:-gspo}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
