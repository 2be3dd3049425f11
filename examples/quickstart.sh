#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a trained model and a report, on two CPU cores: Difference Feedback on a toy world.
#
#   bash examples/quickstart.sh [OUT_DIR]        (default: outputs/toy)
#
# 1. makes .venv if there is none            2. makes the toy world's data; base policy and repair model are files
# 3. trains with DF-GRPO (stock verl, vLLM)  4. writes OUT_DIR/df_grpo/report.html
# Steps 1 and 2 are kept between calls, and what was interrupted goes on from its last checkpoint. Needs Python 3.11 or
# 3.12, about 6 GB of disk and 8 GiB of memory, no GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/watch.sh"
export VERL_DF_GO_ON VERL_DF_SCRIPT     # the scripts below name this one as the way to go on, and end with it
cd "$(dirname "${BASH_SOURCE[0]}")/.."

world="${1:-outputs/toy}"
out="${world}/df_grpo"
started=${SECONDS}
say() { printf '\n== %s (%d:%02d)\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }

say "environment"
bash scripts/setup_env.sh cpu

say "toy world: data, base policy, repair model"
source scripts/cpu_env.sh
"${WATCH[@]}" --log "${world}/logs/world.log" -- "${PYTHON}" -u -m verl_df toy kept data --out "${world}"

say "DF-GRPO"
BRIEF=1 WORLD="${world}" OUT="${out}" bash examples/toy/run_toy_qwen2_5_vl.sh trainer.test_freq=10

say "report"
cp "${world}/evaluation.json" "${out}/repair_eval.json"
"${PYTHON}" -m verl_df report --run "${out}"
say "done: open ${out}/report.html"
