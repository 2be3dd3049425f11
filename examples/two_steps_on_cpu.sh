#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two real steps of a launch script on two CPU cores: its own algorithm and entry point, with a tiny model of its
# architecture in the place of the real one, a few rows of the toy world, and a reward that half of all responses earn.
# What it shows is that everything between the parts works; nothing is learnt. Overrides can be appended:
#   bash examples/two_steps_on_cpu.sh examples/df_grpo_trainer/run_internvl3_5_8b_fsdp.sh
set -euo pipefail
source "$(dirname "$0")/../scripts/watch.sh"    # WATCH: ends a command that prints nothing for STALL_LIMIT seconds
cd "$(dirname "$0")/.."
if [[ ! -f ${1:-} ]]; then
    echo "two_steps_on_cpu.sh: name a launch script, one of examples/*_trainer/*.sh" >&2
    exit 2
fi
SCRIPT=$1
shift

########################### user-adjustable ###########################
export PYTHON=${PYTHON:-.venv/bin/python}
TINY=${TINY:-outputs/tiny}                  # models and data, made if they are not there
export OUT=${OUT:-$TINY/$(basename "$(dirname "$SCRIPT")")_$(basename "$SCRIPT" .sh)}
export PROMPTS=${PROMPTS:-4} ROLLOUTS=${ROLLOUTS:-4} STEPS=${STEPS:-2} LR=${LR:-1e-3}
#######################################################################

case "$SCRIPT" in
    *internvl*) architecture=internvl ;;
    *qwen3_vl*) architecture=qwen3_vl ;;
    *) architecture=qwen2_5_vl ;;
esac
source scripts/cpu_env.sh
MODEL_PATH=$TINY/$architecture MINI_BATCH=$PROMPTS WORKERS=1
[[ -e $MODEL_PATH ]] || "$PYTHON" -m verl_df tiny model "$architecture" --out "$MODEL_PATH"
[[ -e $TINY/rl.parquet ]] || "$PYTHON" -m verl_df tiny rows rl --out "$TINY/rl.parquet"
source examples/toy/cpu_settings.sh         # DATA, MODEL, ACTOR, CRITIC, ROLLOUT, TRAINER, RUNTIME; its REWARD is the toy's

export POLICY=$MODEL_PATH REPAIR=$MODEL_PATH TRAIN=$TINY/rl.parquet VAL=$TINY/rl.parquet MINI_BATCH NNODES=1 GPUS=$WORKERS TP=1
export REWARD_PATH=pkg://verl_df.lab.tiny.reward MAX_PROMPT=256 MAX_RESPONSE=64 TOKENS_PER_GPU=8192
CPU=("${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${TRAINER[@]}" "${RUNTIME[@]}")
[[ $SCRIPT != *ppo_trainer* ]] || CPU+=("${CRITIC[@]}")

exec "${WATCH[@]}" --log "$OUT/run.log" -- bash "$SCRIPT" "${CPU[@]}" trainer.resume_mode=disable \
    actor_rollout_ref.actor.fsdp_config.param_offload=False actor_rollout_ref.actor.fsdp_config.optimizer_offload=False \
    reward.num_workers=1 trainer.val_before_train=False trainer.test_freq=-1 "$@"
