#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The baseline of examples/df_dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh: DAPO by stock verl's own entry point, with that
# script's numbers, all of which can be set in the same way.
ALGO=dapo exec bash "$(dirname "${BASH_SOURCE[0]}")/../df_dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh" "$@"
