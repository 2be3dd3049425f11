#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of InternVL3.5-8B: examples/repair_sft/run_qwen2_5_vl_7b_fsdp.sh with other defaults.
set -euo pipefail
export NAME=${NAME:-internvl3_5_8b} POLICY=${POLICY:-OpenGVLab/InternVL3_5-8B-MPO-HF}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
