#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model of InternVL3.5-8B: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=internvl3_5_8b ALGO=${ALGO:-grpo}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_rl "$@"
