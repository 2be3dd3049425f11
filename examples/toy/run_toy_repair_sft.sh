#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 on the toy world: SFT with verl's SFT trainer (Eq. 1), on two CPU cores. Half of the last repairs overlook
# the errors, as people do (verl_df/lab/toy/careless.py). Starts from the repair model that OUT_DIR holds, the kept one where it
# holds none (examples/toy/world); an SFT that was interrupted goes on from its last checkpoint.
#   bash examples/toy/run_toy_repair_sft.sh [OUT_DIR]        (default: outputs/toy; writes OUT_DIR/stage1)
set -euo pipefail
source "$(dirname "$0")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "$0")/../.."
source scripts/cpu_env.sh

out="${1:-outputs/toy}"
python="${PYTHON:-.venv/bin/python}"

exec "${WATCH[@]}" --log "${out}/logs/stage1.log" -- "${python}" -u -m verl_df toy \
    kept data stage1 --out "${out}"
