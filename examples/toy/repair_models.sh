#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The repair models that the paper's tables 2 and 3 compare, on the toy world: stage 1 alone, stage 2 over lambda, without the
# edit penalty, without C1. Each is a folder that df.repair.variant names (REPAIRS=outputs/toy/repair_models
# run_toy_qwen2_5_vl.sh df.repair.variant=no_c1). Then all of them on the held-out tasks, stage 2 against stage 1, and table 3.
#   bash examples/toy/repair_models.sh                              all of them, some minutes each
#   VARIANTS="full full_2 full_3" bash examples/toy/repair_models.sh
# NAME_2 is NAME with another training seed. A model that is there is kept.
set -euo pipefail
source "$(dirname "$0")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
export VERL_DF_GO_ON VERL_DF_SCRIPT         # the scripts below name this one as the way to go on, and end with it
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
PYTHON=${PYTHON:-.venv/bin/python}
WORLD=${WORLD:-outputs/toy}
OUT=${OUT:-$WORLD/repair_models}
VARIANTS=${VARIANTS:-full full_2 full_3 full_4 full_5 no_edit_penalty no_c1 lambda_0.2 lambda_0.4 lambda_0.6 lambda_0.8}
SAMPLING_SEEDS=${SAMPLING_SEEDS:-2}         # of the evaluation
#######################################################################

declare -A settings=(
    [full]="df.edit_penalty=0.5"            # the paper's
    [no_edit_penalty]="df.edit_penalty=0.0"
    [no_c1]="df.image_removal.kind=off"
)
declare -A members=()                       # variant: its models of all seeds, as verl-df repair-eval names them

"$PYTHON" -m verl_df toy kept data --out "$WORLD"
mkdir -p "$OUT"
rm -rf "$OUT/sft"
cp -r "$WORLD/stage1" "$OUT/sft"
models=(--repair "sft=$OUT/sft")
for name in $VARIANTS; do
    variant=$name seed=1
    if [[ $name =~ ^(.+)_([0-9]+)$ ]]; then
        variant=${BASH_REMATCH[1]} seed=${BASH_REMATCH[2]}
    fi
    if [[ ! -e $OUT/$name ]]; then
        WORLD="$WORLD" OUT="$OUT/runs/$name" PYTHON="$PYTHON" SEED="$seed" \
            bash examples/toy/run_toy_repair_rl.sh trainer.val_before_train=False trainer.test_freq=-1 \
            "${settings[$variant]:-df.edit_penalty=${variant#lambda_}}"
        mv "$OUT/runs/$name/model" "$OUT/$name"
    fi
    models+=(--repair "$name=$OUT/$name")
    members[$variant]=${members[$variant]:+${members[$variant]},}$OUT/evaluation#$name
done

source scripts/cpu_env.sh
rm -rf "$OUT/evaluation" "$OUT/stage2" "$OUT/table3"    # of other models
"${WATCH[@]}" --log "$OUT/evaluation.log" -- "$PYTHON" -u -m verl_df repair-eval \
    --data "$WORLD/repair_tasks/val.parquet" --policy "$WORLD/policy" "${models[@]}" \
    --seeds "$SAMPLING_SEEDS" --max-tokens 64 --reward-path pkg://verl_df.lab.toy.reward --truth-path pkg://verl_df.lab.toy.truth \
    --image-removal blank --dtype float32 --max-model-len 512 \
    --engine enforce_eager=true --engine kv_cache_memory_bytes=134217728 --engine skip_mm_profiling=true \
    --out "$OUT/evaluation"

groups=(--group "sft=$OUT/evaluation#sft")
points=()
for variant in "${!members[@]}"; do
    groups+=(--group "$variant=${members[$variant]}")
    case $variant in
        full) points+=(--point "0.5=${members[$variant]}") ;;
        no_edit_penalty) points+=(--point "0=${members[$variant]}") ;;
        lambda_*) points+=(--point "${variant#lambda_}=${members[$variant]}") ;;
    esac
done
"$PYTHON" -m verl_df repair-eval compare "${groups[@]}" --out "$OUT/stage2"
if ((${#points[@]} > 2)); then
    "$PYTHON" -m verl_df repair-eval lambda "${points[@]}" --out "$OUT/table3"
fi
