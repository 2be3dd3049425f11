#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model of Qwen2.5-VL-32B: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen2_5_vl_32b ALGO=${ALGO:-gspo}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_rl "$@"
