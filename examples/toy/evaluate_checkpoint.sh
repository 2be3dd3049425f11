#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The round trip of a checkpoint on the toy world: merge it, check that the merged model gives the trained actor's
# log-probabilities, answer the validation problems in vLLM, and compare with the trainer's own validation at that step.
# Exit status 0: the number is equal. Needs a run of examples/toy/run_toy_qwen2_5_vl.sh that validated where it saved.
#   bash examples/toy/evaluate_checkpoint.sh                            the newest checkpoint of outputs/toy/df_grpo
#   CHECKPOINT=outputs/toy/grpo/checkpoints/global_step_20 RUN=outputs/toy/grpo bash examples/toy/evaluate_checkpoint.sh
set -euo pipefail
source "$(dirname "$0")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
PYTHON=${PYTHON:-.venv/bin/python}
WORLD=${WORLD:-outputs/toy}
RUN=${RUN:-$WORLD/df_grpo}
CHECKPOINT=${CHECKPOINT:-$RUN}              # .../global_step_N, or a run: its newest
OUT=${OUT:-$RUN/merged}                     # the merged model; one that is there is kept, and checked
METRICS=${METRICS:-$RUN/metrics.jsonl}
GENERATIONS=${GENERATIONS:-}                # the run's trainer.validation_data_dir, if any: tells which problems differ
ROWS=${ROWS:-16}                            # prompts that log-probabilities are compared on
#######################################################################

source scripts/cpu_env.sh
checkpoint() { # checkpoint COMMAND ARGUMENT...
    "${WATCH[@]}" --log "$RUN/checkpoint_$1.log" -- "$PYTHON" -m verl_df checkpoint "$@"
}
generations=(${GENERATIONS:+--generations "$GENERATIONS"})
same=(--max-tokens 64 --data "$WORLD/data/val.parquet")     # data.max_response_length, data.val_files of the run

if [[ ! -e $OUT ]]; then
    checkpoint merge "$CHECKPOINT" --out "$OUT"
fi
checkpoint check "$CHECKPOINT" --merged "$OUT" --rows "$ROWS" "${same[@]}"
checkpoint validate "$CHECKPOINT" --merged "$OUT" --metrics "$METRICS" "${generations[@]}" "${same[@]}" \
    --reward-path pkg://verl_df.lab.toy.reward --dtype float32 --max-model-len 512 \
    --engine enforce_eager=true --engine kv_cache_memory_bytes=134217728 --engine skip_mm_profiling=true
