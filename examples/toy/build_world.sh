#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build the toy world on two CPU cores: a tiny Qwen2.5-VL, the data, the base policy and the repair model.
#
#   bash examples/toy/build_world.sh [OUT_DIR]        (default: outputs/toy)
#
# Stages whose outputs are up to date are skipped, so a second call takes seconds; an SFT that was interrupted goes on
# from its last checkpoint. PYTHON chooses the interpreter (default: the project's .venv).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cpu_env.sh

out="${1:-outputs/toy}"
python="${PYTHON:-.venv/bin/python}"

exec "${WATCH[@]}" --log "${out}/logs/build_world.log" -- "${python}" -u -m verl_df toy all --out "${out}"
