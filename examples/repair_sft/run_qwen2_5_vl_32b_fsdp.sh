#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of Qwen2.5-VL-32B: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen2_5_vl_32b POLICY=${POLICY:-Qwen/Qwen2.5-VL-32B-Instruct}
NNODES=${NNODES:-4} TOKENS_PER_GPU=${TOKENS_PER_GPU:-12288}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_sft "$@"
