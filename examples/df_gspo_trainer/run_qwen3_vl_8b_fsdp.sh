#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GSPO on Qwen3-VL-8B, which the paper does not have: as run_qwen2_5_vl_7b_fsdp.sh.
RUN=qwen3_vl_8b                       # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_gspo}                 # a file of recipe/df/config/objective; gspo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
policy "$@"
