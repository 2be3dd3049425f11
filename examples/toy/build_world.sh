#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build the toy world on two CPU cores: a tiny Qwen2.5-VL, the data, the base policy and the repair model.
#
#   bash examples/toy/build_world.sh [OUT_DIR]        (default: outputs/toy)
#
# Stages whose outputs are up to date are skipped, so a second call takes seconds. PYTHON chooses the interpreter
# (default: the project's .venv). Each stage runs under a time limit, generous for a slow machine; one that exceeds it
# ends the build with exit code 124.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cpu_env.sh

out="${1:-outputs/toy}"
python="${PYTHON:-.venv/bin/python}"

stage() { # stage NAME MINUTES
    timeout --kill-after=20 "${2}m" "${python}" -m verl_df.toy "$1" --out "${out}"
}

stage model 2
stage data 3
stage policy 15
stage repair-data 8
stage repair-tasks 5
stage repair 15
stage evaluate 8
