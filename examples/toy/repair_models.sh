#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The repair models that the paper's tables 2 and 3 compare, on the toy world: stage 1 alone, stage 2 over lambda, without the
# edit penalty, without C1. Each is a folder that a preset names (REPAIRS=outputs/toy/repair_models run_toy_qwen2_5_vl.sh
# preset=df_no_c1); then all of them on the held-out tasks, and table 3.
#   bash examples/toy/repair_models.sh                              all of them, about 7 minutes each
#   VARIANTS="full lambda_0.2 lambda_0.8" bash examples/toy/repair_models.sh
# A model that is there is kept.
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
PYTHON=${PYTHON:-.venv/bin/python}
WORLD=${WORLD:-outputs/toy}
OUT=${OUT:-$WORLD/repair_models}
VARIANTS=${VARIANTS:-full no_edit_penalty no_c1 lambda_0.2 lambda_0.4 lambda_0.6 lambda_0.8}
SEEDS=${SEEDS:-3}                           # of the sampling, in the evaluation
#######################################################################

declare -A settings=(
    [full]="df.edit_penalty=0.5"            # the paper's
    [no_edit_penalty]="df.edit_penalty=0.0"
    [no_c1]="df.image_removal.kind=off"
)

mkdir -p "$OUT"
[[ -e $OUT/sft ]] || cp -r "$WORLD/repair" "$OUT/sft"
models=(--repair "sft=$OUT/sft")
points=()
for variant in $VARIANTS; do
    setting=${settings[$variant]:-df.edit_penalty=${variant#lambda_}}
    if [[ ! -e $OUT/$variant ]]; then
        WORLD="$WORLD" OUT="$OUT/runs/$variant" PYTHON="$PYTHON" \
            bash examples/toy/run_toy_repair_rl.sh trainer.val_before_train=False "$setting"
        mv "$OUT/runs/$variant/model" "$OUT/$variant"
    fi
    models+=(--repair "$variant=$OUT/$variant")
    case $variant in
        full) points+=(--point "0.5=$OUT/evaluation#$variant") ;;
        lambda_*) points+=(--point "${variant#lambda_}=$OUT/evaluation#$variant") ;;
    esac
done

source scripts/cpu_env.sh
rm -rf "$OUT/evaluation" "$OUT/table3"      # of other models
"$PYTHON" -m verl_df.repair_eval --data "$WORLD/repair_tasks/val.parquet" --policy "$WORLD/policy" "${models[@]}" \
    --seeds "$SEEDS" --max-tokens 64 --reward-path pkg://verl_df.toy.reward --truth-path pkg://verl_df.toy.truth \
    --image-removal blank --dtype float32 --max-model-len 512 \
    --engine enforce_eager=true --engine kv_cache_memory_bytes=134217728 --engine skip_mm_profiling=true \
    --out "$OUT/evaluation"
if ((${#points[@]} > 2)); then
    "$PYTHON" -m verl_df.repair_eval lambda "${points[@]}" --out "$OUT/table3"
fi
