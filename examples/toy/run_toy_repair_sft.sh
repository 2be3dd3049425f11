#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 on the toy world: SFT with verl's SFT trainer (Eq. 1), on two CPU cores. Half of the last repairs overlook
# the errors, as people do (verl_df/toy/careless.py). Builds what it needs of the toy world first; what is up to date is
# skipped.
#   bash examples/toy/run_toy_repair_sft.sh [OUT_DIR]        (default: outputs/toy; writes OUT_DIR/stage1)
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/cpu_env.sh

out="${1:-outputs/toy}"
python="${PYTHON:-.venv/bin/python}"

for stage in model data policy repair-data repair-tasks repair stage1; do
    timeout --kill-after=20 15m "${python}" -m verl_df.toy "${stage}" --out "${out}"
done
