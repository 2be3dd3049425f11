#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GSPO on Qwen2.5-VL-32B (table 1, 32B): examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh with other defaults: four nodes (paper: 32 x A800), vLLM over
# four GPUs, smaller micro-batches.
set -euo pipefail
export NAME=${NAME:-qwen2_5_vl_32b} POLICY=${POLICY:-Qwen/Qwen2.5-VL-32B-Instruct}
export NNODES=${NNODES:-4} TP=${TP:-4} TOKENS_PER_GPU=${TOKENS_PER_GPU:-12288}
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2_5_vl_7b_fsdp.sh" "$@"
