#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GSPO on Qwen3-VL-8B: examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh with another model, which the paper
# does not have. Its patches are of 16 pixels; verl's default is Qwen2.5-VL's 14.
set -euo pipefail
export NAME=${NAME:-qwen3_vl_8b} POLICY=${POLICY:-Qwen/Qwen3-VL-8B-Instruct}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" data.image_patch_size=16 "$@"
