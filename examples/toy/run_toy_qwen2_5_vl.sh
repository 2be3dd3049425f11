#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF on the toy world: stock verl (V1 trainer, FSDP2, TransferQueue), Ray, vLLM's async server, a tiny Qwen2.5-VL, on two
# CPU cores.
# Needs a toy world in WORLD, the quickstart's or build_world.sh's. Any key of verl or of `df:` can be appended:
#   bash examples/toy/run_toy_qwen2_5_vl.sh df.gate.kind=soft
#   ALGO=df_gspo bash examples/toy/run_toy_qwen2_5_vl.sh df.repair.n=4
# The baseline, verl's own GRPO without any of our code but the CPU platform, from the same numbers:
#   ALGO=grpo bash examples/toy/run_toy_qwen2_5_vl.sh
# On short videos instead of pictures (verl-df toy clips --out outputs/toy):
#   DATA=clips bash examples/toy/run_toy_qwen2_5_vl.sh
# The same command goes on with a run that was interrupted, and starts a finished one over.
set -euo pipefail
source "$(dirname "$0")/../../scripts/watch.sh"     # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-df_grpo}                       # a file of recipe/df/config/objective, or grpo: stock verl
PYTHON=${PYTHON:-.venv/bin/python}
WORLD=${WORLD:-outputs/toy}                 # data/, policy/, repair/
DATA=${DATA:-data}                          # its folder of train.parquet and val.parquet; clips: videos
[[ $DATA == data ]] && NAME=$ALGO || NAME=${ALGO}_$DATA
OUT=${OUT:-$WORLD/$NAME}                    # metrics, pairs, checkpoints
POLICY=${POLICY:-$WORLD/policy}
REPAIR=${REPAIR:-$WORLD/repair}             # the repair model
REPAIRS=${REPAIRS:-}                        # instead: a folder with one per variant, for df.repair.variant
STEPS=${STEPS:-20}
PROMPTS=${PROMPTS:-16}                      # prompts per step
ROLLOUTS=${ROLLOUTS:-8}                     # rollouts per prompt
LR=${LR:-3e-4}
WORKERS=${WORKERS:-1}                       # FSDP workers, each with its own vLLM replicas; 2 on two cores works too
MAIN=${MAIN:-recipe.df.main_df}             # entry point of all but grpo
BRIEF=${BRIEF:-0}                           # 1: a line for each step on the terminal, the rest only in OUT/run.log
#######################################################################

source scripts/cpu_env.sh

SETTINGS=(                                  # the rest: recipe/df/config/run/toy.yaml
    data.train_files="$WORLD/$DATA/train.parquet"
    data.val_files="$WORLD/$DATA/val.parquet"
    data.train_batch_size="$PROMPTS"
    actor_rollout_ref.model.path="$POLICY"
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.ppo_mini_batch_size="$PROMPTS"
    actor_rollout_ref.rollout.n="$ROLLOUTS"
    trainer.experiment_name="toy_$NAME"
    trainer.n_gpus_per_node="$WORKERS"
    trainer.total_training_steps="$STEPS"
    trainer.default_local_dir="$OUT/checkpoints"
)

if [[ $ALGO == grpo ]]; then
    MAIN=verl.trainer.main_ppo
    SETTINGS+=(hydra.searchpath='[pkg://recipe.df.config]' +run=toy +baseline=grpo)
elif [[ -f recipe/df/config/objective/$ALGO.yaml ]]; then
    # estimator, loss, clip, aggregation and group mode are the objective's: nothing above or below sets them
    SETTINGS+=(
        objective="$ALGO"
        df.truth.path=pkg://verl_df.lab.toy.truth                           # the toy knows which tokens are wrong: score the masks
        df.log.dir="$OUT"
    )
    if [[ -n $REPAIRS ]]; then
        SETTINGS+=(df.repair.models_dir="$REPAIRS")
    else
        SETTINGS+=(df.repair.model_path="$REPAIR")
    fi
else
    names=$(cd recipe/df/config/objective && echo *.yaml)
    echo "ALGO=$ALGO: write grpo (stock verl) or one of ${names//.yaml/}" >&2
    exit 2
fi

case "$ALGO" in
    grpo) ;;
    *dapo*) SETTINGS+=(run=toy reward.reward_kwargs.overlong_buffer_cfg.len=16) ;;    # of 64 tokens
    df_ppo) SETTINGS+=('run=[toy,cpu_critic]' critic.optim.lr="$LR" critic.model.enable_gradient_checkpointing=False) ;;
    *) SETTINGS+=(run=toy) ;;
esac

source examples/toy/go_on.sh
go_on_or_start_over "$POLICY/model.safetensors" "$REPAIR/model.safetensors" "$WORLD/$DATA/train.parquet" -- \
    "$MAIN" "${SETTINGS[@]}" "$@"
[[ $BRIEF != 1 ]] || WATCH+=(--brief)

exec "${WATCH[@]}" --log "$OUT/run.log" -- "$PYTHON" -u -m "$MAIN" "${SETTINGS[@]}" "${RUNTIME[@]}" "$@"
