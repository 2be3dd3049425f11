#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GSPO on Qwen2.5-VL-32B (table 1, 32B), on four nodes: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen2_5_vl_32b                    # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_gspo}                 # a file of recipe/df/config/objective; gspo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
policy "$@"
