#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a trained model and a report, on two CPU cores: Difference Feedback on a toy world.
#
#   bash examples/quickstart.sh [OUT_DIR]        (default: outputs/toy)
#
# 1. makes .venv if there is none            2. builds the toy world: data, base policy, repair model (verl's SFT trainer)
# 3. trains with DF-GRPO (stock verl, vLLM)  4. writes OUT_DIR/df_grpo/report.html
# Steps 1 and 2 are kept between calls. Needs Python 3.11 or 3.12, about 6 GB of disk and 16 GiB of memory, no GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

world="${1:-outputs/toy}"
out="${world}/df_grpo"
started=${SECONDS}
say() { printf '\n== %s (%d:%02d)\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }

say "environment"
bash scripts/setup_env.sh cpu

say "toy world: data, base policy, repair model"
bash examples/toy/build_world.sh "${world}"

say "DF-GRPO"
WORLD="${world}" OUT="${out}" .venv/bin/python -m verl_df.progress --log "${out}/run.log" -- \
    bash examples/toy/run_toy_qwen2_5_vl.sh

say "report"
cp "${world}/evaluation.json" "${out}/repair_eval.json"
.venv/bin/python -m verl_df.report --run "${out}"
say "done: open ${out}/report.html"
