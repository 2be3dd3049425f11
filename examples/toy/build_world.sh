#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build the toy world on two CPU cores: a tiny Qwen2.5-VL, the data, the base policy and the repair model.
#
#   bash examples/toy/build_world.sh [OUT_DIR]                        (default: outputs/toy)
#   WORLD_KIND=chain bash examples/toy/build_world.sh [OUT_DIR]       the second world (default: outputs/toy_chain)
#
# Stages whose outputs are up to date are skipped, so a second call takes seconds; an SFT that was interrupted goes on
# from its last checkpoint. PYTHON chooses the interpreter (default: the project's .venv).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cpu_env.sh

kind="${WORLD_KIND:-count}"
[[ $kind == count ]] && out="${1:-outputs/toy}" || out="${1:-outputs/toy_$kind}"
python="${PYTHON:-.venv/bin/python}"

exec "${WATCH[@]}" --log "${out}/logs/build_world.log" -- "${python}" -u -m verl_df toy all --world "${kind}" --out "${out}"
