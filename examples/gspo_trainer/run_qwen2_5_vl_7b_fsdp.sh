#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The baseline of examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh: GSPO by stock verl's own entry point, with that
# script's numbers, all of which can be set in the same way.
ALGO=gspo exec bash "$(dirname "${BASH_SOURCE[0]}")/../df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh" "$@"
