#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of Qwen3-VL-8B: examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
set -euo pipefail
export NAME=${NAME:-qwen3_vl_8b} POLICY=${POLICY:-Qwen/Qwen3-VL-8B-Instruct}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
