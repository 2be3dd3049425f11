#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A first look at a new machine: one card of 80 GB, no network, models of 1.7 billion parameters built on the spot, nine
# minutes at most. Each part is a process of its own, compares what it measured with limits, and leaves OUT/PART.json:
#   bash scripts/gpu_smoke.sh                     all of them
#   bash scripts/gpu_smoke.sh engines lora        some
#   bash scripts/gpu_smoke.sh --cpu               what has no need of a GPU, with tiny models
# The parts and what they show: python -m verl_df.lab.smoke --help, docs/first_launch.md. Its GPU side has not been run yet.
set -euo pipefail
source "$(dirname "$0")/watch.sh"    # WATCH: ends a part that prints nothing for STALL_LIMIT seconds, with all it started
cd "$(dirname "$0")/.."

########################### user-adjustable ###########################
export PYTHON=${PYTHON:-.venv/bin/python}
OUT=${OUT:-outputs/smoke}                   # models, runs, results
SECONDS_IN_ALL=${SECONDS_IN_ALL:-540}       # parts that would begin later are left out
#######################################################################

parts=() flags=()
for word in "$@"; do
    case "$word" in
        --cpu) flags=(--cpu) ;;
        *) parts+=("$word") ;;
    esac
done
((${#parts[@]})) || parts=(imports engines grpo packed gspo lora empty_rank internvl)
if ((${#flags[@]})); then
    source scripts/cpu_env.sh
else
    export HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
fi

failed=() left_out=()
for part in "${parts[@]}"; do
    if ((SECONDS >= SECONDS_IN_ALL)); then
        left_out+=("$part")
        continue
    fi
    rm -f "$OUT/$part.json"
    "${WATCH[@]}" --log "$OUT/$part.log" -- timeout -k 10 $((SECONDS_IN_ALL - SECONDS)) \
        "$PYTHON" -u -m verl_df.lab.smoke "$part" --out "$OUT" "${flags[@]}" || failed+=("$part")
done
"$PYTHON" -m verl_df.lab.smoke table --out "$OUT"
echo "gpu_smoke.sh: $((${#parts[@]} - ${#failed[@]} - ${#left_out[@]})) of ${#parts[@]} parts passed in ${SECONDS} s, $OUT/smoke.json"
((${#left_out[@]} == 0)) || echo "gpu_smoke.sh: no time left for: ${left_out[*]} (SECONDS_IN_ALL=${SECONDS_IN_ALL})" >&2
((${#failed[@]} == 0)) || echo "gpu_smoke.sh: failed: ${failed[*]}; their output is in $OUT/PART.log" >&2
((${#failed[@]} + ${#left_out[@]} == 0))
