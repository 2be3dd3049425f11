#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-DAPO on Qwen2.5-VL-7B: FSDP2 and vLLM. The baseline on stock verl from the same numbers:
# examples/dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh. Any key of verl or of `df:`, and any preset, can be appended:
#   bash examples/df_dapo_trainer/run_qwen2_5_vl_7b_fsdp.sh preset=df_soft
# DRY_RUN=1 checks everything and starts nothing; it needs no GPU and no download. Several nodes: start Ray on them, then
# run this on the head node (NNODES=4). Needs a repair model: examples/repair_sft, examples/repair_rl.
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-df_dapo}                       # a file of recipe/df/config/objective, or dapo: stock verl
PYTHON=${PYTHON:-.venv/bin/python}
NAME=${NAME:-qwen2_5_vl_7b}
POLICY=${POLICY:-Qwen/Qwen2.5-VL-7B-Instruct}
REPAIR=${REPAIR:-outputs/$NAME/repair_rl/model}                         # of examples/repair_rl
TRAIN=${TRAIN:-data/mmpr_tiny_train.parquet}                            # verl-df data convert mmpr_tiny
VAL=${VAL:-data/mathvista_testmini.parquet}
REWARD_PATH=${REWARD_PATH:-pkg://verl_df.judges.score}              # r_task; benchmarks by their own rules
OUT=${OUT:-outputs/$NAME/$ALGO}             # metrics, pairs, checkpoints
NNODES=${NNODES:-1}                         # paper: 32 x A800, NNODES=4
GPUS=${GPUS:-8}                             # of each node
TP=${TP:-1}                                 # GPUs of a vLLM replica
PROMPTS=${PROMPTS:-128}                     # paper: "batch size of 128", read as prompts of a step
ROLLOUTS=${ROLLOUTS:-16}                    # of a prompt: the DAPO paper's
MINI_BATCH=${MINI_BATCH:-32}                # prompts of an optimiser step; ours: 4 steps a batch
LR=${LR:-1e-6}                              # paper: "learning rate of 1 x 10^-6"
MAX_PROMPT=${MAX_PROMPT:-4096}              # tokens, of images too; ours, as the other lengths
MAX_RESPONSE=${MAX_RESPONSE:-2048}
TOKENS_PER_GPU=${TOKENS_PER_GPU:-16384}     # of a micro-batch; less if the update runs out of memory
VLLM_SHARE=${VLLM_SHARE:-0.6}               # of a GPU's memory
BATCHED_TOKENS=${BATCHED_TOKENS:-16384}     # of a forward pass of vLLM
EPOCHS=${EPOCHS:-1}
OVERLONG=${OVERLONG:-$((MAX_RESPONSE / 5))} # tokens before the limit from which the reward falls: the DAPO paper's share
#######################################################################

source examples/vlm_settings.sh             # DATA, MODEL, ACTOR, ROLLOUT, REWARD, DF, TRAINER; launch

DATA+=(data.gen_batch_size=1)               # prompts drawn at a time until the batch has PROMPTS groups with both outcomes

if [[ $ALGO == df_* ]]; then
    ALGORITHM=("${DF[@]}")
else
    ALGORITHM=(
        algorithm.adv_estimator=grpo
        algorithm.filter_groups.enable=True                             # dynamic sampling
        algorithm.filter_groups.metric=acc
        actor_rollout_ref.actor.loss_agg_mode=token-mean
        actor_rollout_ref.actor.clip_ratio_low=0.2
        actor_rollout_ref.actor.clip_ratio_high=0.28
        actor_rollout_ref.actor.clip_ratio_c=10.0
        reward.reward_manager.name=dapo
        +reward.reward_kwargs.max_resp_len="$MAX_RESPONSE"
        '+reward.reward_kwargs.overlong_buffer_cfg={enable: True, penalty_factor: 1.0, log: False}'
    )
fi
ALGORITHM+=(++reward.reward_kwargs.overlong_buffer_cfg.len="$OVERLONG")

launch "$@"
