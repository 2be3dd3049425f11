#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of Qwen3-VL-8B: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen3_vl_8b POLICY=${POLICY:-Qwen/Qwen3-VL-8B-Instruct}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_sft "$@"
