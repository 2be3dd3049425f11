#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model of InternVL3.5-8B: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=internvl3_5_8b POLICY=${POLICY:-OpenGVLab/InternVL3_5-8B-MPO-HF}
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
repair_sft "$@"
