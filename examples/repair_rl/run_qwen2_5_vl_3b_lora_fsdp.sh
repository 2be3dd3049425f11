#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model of Qwen2.5-VL-3B with LoRA, on one card: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen2_5_vl_3b_lora ALGO=${ALGO:-grpo}
TASKS=${TASKS:-32} MAX_PROMPT=${MAX_PROMPT:-4096} MAX_RESPONSE=${MAX_RESPONSE:-1024}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_rl "$@"
