#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The baseline of examples/df_grpo_trainer/run_internvl3_5_8b_fsdp.sh: GRPO by stock verl's own entry point, with that
# script's numbers, all of which can be set in the same way.
ALGO=grpo exec bash "$(dirname "${BASH_SOURCE[0]}")/../df_grpo_trainer/run_internvl3_5_8b_fsdp.sh" "$@"
