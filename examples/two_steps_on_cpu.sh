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
POLICY=$TINY/$architecture rows=$TINY/rl.parquet
[[ -e $POLICY ]] || "$PYTHON" -m verl_df tiny model "$architecture" --out "$POLICY"
[[ -e $rows ]] || "$PYTHON" -m verl_df tiny rows rl --out "$rows"
export POLICY REPAIR=$POLICY TRAIN=$rows VAL=$rows MINI_BATCH=$PROMPTS NNODES=1 GPUS=1 TP=1 MAX_PROMPT=256 MAX_RESPONSE=64
export REWARD_PATH=pkg://verl_df.lab.tiny.reward PART=cpu
[[ $SCRIPT != *ppo_trainer* ]] || PART=cpu,cpu_critic
WARM=(${VERL_DF_PYTHON:+"+ray_kwargs.ray_init.runtime_env.py_executable=$PYTHON"})    # Ray's start warm, too

exec "${WATCH[@]}" --log "$OUT/run.log" -- bash "$SCRIPT" "${WARM[@]}" trainer.total_training_steps="$STEPS" \
    trainer.resume_mode=disable trainer.val_before_train=False trainer.test_freq=-1 \
    actor_rollout_ref.actor.fsdp_config.param_offload=False actor_rollout_ref.actor.fsdp_config.optimizer_offload=False "$@"
