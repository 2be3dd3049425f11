#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 on the toy world: the repair model's reinforcement learning on r_rep (Eq. 4), with stock verl, real vLLM, on two
# CPU cores. Needs the outputs of examples/toy/run_toy_repair_sft.sh, stage 1. Any key of verl or of `df:` can be appended:
#   bash examples/toy/run_toy_repair_rl.sh
#   SEED=2 OUT=outputs/toy/no_c1 bash examples/toy/run_toy_repair_rl.sh df.image_removal.kind=off
# Writes OUT/model, a Hugging Face folder for df.repair.model_path.
# The same command goes on with a run that was interrupted, and starts a finished one over.
set -euo pipefail
source "$(dirname "$0")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
PYTHON=${PYTHON:-.venv/bin/python}
WORLD=${WORLD:-outputs/toy}                 # stage1/, repair_tasks/ of run_toy_repair_sft.sh
OUT=${OUT:-$WORLD/repair_rl}                # metrics, checkpoint, model
STAGE1=${STAGE1:-$WORLD/stage1}             # the repair model to start from
EDIT_PENALTY=${EDIT_PENALTY:-0.5}           # lambda (paper: 0.5)
SEED=${SEED:-1}                             # order of the tasks and sampling
STEPS=${STEPS:-20}
TASKS=${TASKS:-16}                          # wrong responses per step
ROLLOUTS=${ROLLOUTS:-8}                     # repairs sampled for each
LR=${LR:-2e-4}
WORKERS=${WORKERS:-1}
#######################################################################

source scripts/cpu_env.sh

SETTINGS=(                                  # the rest: recipe/df/config/run/toy.yaml
    run=toy
    +baseline=grpo                          # the policy's
    data.train_files="$WORLD/repair_tasks/train.parquet"
    data.val_files="$WORLD/repair_tasks/val.parquet"
    data.train_batch_size="$TASKS"
    data.max_prompt_length=384              # question, wrong response, reference and the words around them
    data.seed="$SEED"
    actor_rollout_ref.model.path="$STAGE1"
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.ppo_mini_batch_size="$TASKS"
    actor_rollout_ref.rollout.n="$ROLLOUTS"
    actor_rollout_ref.rollout.seed="$SEED"
    actor_rollout_ref.rollout.val_kwargs.do_sample=True     # as repairs are sampled while the policy trains
    actor_rollout_ref.rollout.val_kwargs.temperature=1.0
    actor_rollout_ref.rollout.val_kwargs.n=2                # Acc@1 and Acc@2
    df.edit_penalty="$EDIT_PENALTY"
    df.log_dir="$OUT"
    trainer.experiment_name=toy_repair_rl
    trainer.n_gpus_per_node="$WORKERS"
    trainer.test_freq="$STEPS"
    trainer.total_training_steps="$STEPS"
    trainer.default_local_dir="$OUT/checkpoints"
)

source examples/toy/go_on.sh
[[ -e $OUT/model ]] || KEEP_FINISHED=1      # trained, but not merged yet
go_on_or_start_over "$STAGE1/model.safetensors" "$WORLD/repair_tasks/train.parquet" -- "${SETTINGS[@]}" "$@"

if [[ $FINISHED == 0 ]]; then
    rm -rf "$OUT/model"
    "${WATCH[@]}" --log "$OUT/run.log" -- "$PYTHON" -u -m recipe.df.main_repair "${SETTINGS[@]}" "${RUNTIME[@]}" "$@"
fi

rm -rf "$OUT/model.part"
"${WATCH[@]}" --log "$OUT/merge.log" -- "$PYTHON" -m verl.model_merger merge --backend fsdp \
    --local_dir "$OUT/checkpoints/global_step_$STEPS/actor" --target_dir "$OUT/model.part"
mv "$OUT/model.part" "$OUT/model"
