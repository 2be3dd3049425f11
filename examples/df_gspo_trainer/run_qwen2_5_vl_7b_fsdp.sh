#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GSPO on Qwen2.5-VL-7B (table 1, 7B): FSDP2 and vLLM. The baseline on stock verl from the same numbers:
# examples/gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh. Any key of verl or of `df:`, and any preset, can be appended:
#   bash examples/df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh preset=df_soft
# DRY_RUN=1 checks everything and starts nothing; it needs no GPU and no download. Several nodes: start Ray on them, then
# run this on the head node (NNODES=4). Needs a repair model: examples/repair_sft, examples/repair_rl.
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-df_gspo}                       # a file of recipe/df/config/objective, or gspo: stock verl
PYTHON=${PYTHON:-.venv/bin/python}
NAME=${NAME:-qwen2_5_vl_7b}                 # of the run; other models have scripts that set these variables
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
ROLLOUTS=${ROLLOUTS:-8}                     # of a prompt; the paper gives none
MINI_BATCH=${MINI_BATCH:-32}                # prompts of an optimiser step; ours: 4 steps a batch, as in the GSPO paper
LR=${LR:-1e-6}                              # paper: "learning rate of 1 x 10^-6"
MAX_PROMPT=${MAX_PROMPT:-4096}              # tokens, of images too; ours, as the other lengths
MAX_RESPONSE=${MAX_RESPONSE:-2048}
TOKENS_PER_GPU=${TOKENS_PER_GPU:-16384}     # of a micro-batch; less if the update runs out of memory
VLLM_SHARE=${VLLM_SHARE:-0.6}               # of a GPU's memory
BATCHED_TOKENS=${BATCHED_TOKENS:-16384}     # of a forward pass of vLLM
EPOCHS=${EPOCHS:-1}
#######################################################################

source examples/vlm_settings.sh             # DATA, MODEL, ACTOR, ROLLOUT, REWARD, DF, TRAINER; launch

if [[ $ALGO == df_* ]]; then
    ALGORITHM=("${DF[@]}")
else
    ALGORITHM=(
        algorithm.adv_estimator=grpo
        actor_rollout_ref.actor.policy_loss.loss_mode=gspo
        actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean
        actor_rollout_ref.actor.clip_ratio_low=3e-4                     # the GSPO paper's
        actor_rollout_ref.actor.clip_ratio_high=4e-4
    )
fi

launch "$@"
