#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GRPO on InternVL3.5-8B-MPO (table 1, InternVL): as examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh, which says
# how to use it. The model must be in transformers' form, an `-HF` checkpoint (docs/models.md).
RUN=internvl3_5_8b                    # its numbers and their sources: recipe/df/config/run
ALGO=${ALGO:-df_grpo}                 # a file of recipe/df/config/objective; grpo: stock verl's
source "$(dirname "${BASH_SOURCE[0]}")/../launch.sh"
policy "$@"
