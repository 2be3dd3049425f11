#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-GRPO on Qwen2.5-VL-3B with LoRA, for people with one card of 40 GB or more: FSDP2 and vLLM. The baseline on stock verl
# from the same numbers: examples/grpo_trainer/run_qwen2_5_vl_3b_lora_fsdp.sh. Any key of verl or of `df:`, and any preset,
# can be appended:
#   bash examples/df_grpo_trainer/run_qwen2_5_vl_3b_lora_fsdp.sh preset=df_soft
# DRY_RUN=1 checks everything and starts nothing; it needs no GPU and no download. Needs a repair model:
# examples/repair_sft, examples/repair_rl. A LoRA checkpoint becomes a model as docs/checkpoints.md says.
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-df_grpo}                       # a file of recipe/df/config/objective, or grpo: stock verl
PYTHON=${PYTHON:-.venv/bin/python}
NAME=${NAME:-qwen2_5_vl_3b_lora}
POLICY=${POLICY:-Qwen/Qwen2.5-VL-3B-Instruct}
REPAIR=${REPAIR:-outputs/$NAME/repair_rl/model}                         # of examples/repair_rl
TRAIN=${TRAIN:-data/mmpr_tiny_train.parquet}                            # verl-df data convert mmpr_tiny
VAL=${VAL:-data/mathvista_testmini.parquet}
REWARD_PATH=${REWARD_PATH:-pkg://verl_df.judges.score}              # r_task; benchmarks by their own rules
OUT=${OUT:-outputs/$NAME/$ALGO}             # metrics, pairs, checkpoints
GPUS=${GPUS:-1}
NNODES=1 TP=1                               # one card
PROMPTS=${PROMPTS:-32}                      # of a step
ROLLOUTS=${ROLLOUTS:-8}                     # of a prompt; the paper gives none
MINI_BATCH=${MINI_BATCH:-16}                # prompts of an optimiser step
LR=${LR:-1e-5}                              # an adapter's, ten times that of the whole model
LORA_RANK=${LORA_RANK:-64}
LORA_ALPHA=${LORA_ALPHA:-32}
MAX_PROMPT=${MAX_PROMPT:-2048}              # tokens, of images too
MAX_RESPONSE=${MAX_RESPONSE:-1024}
TOKENS_PER_GPU=${TOKENS_PER_GPU:-8192}      # of a micro-batch; less if the update runs out of memory
VLLM_SHARE=${VLLM_SHARE:-0.5}               # of a GPU's memory
BATCHED_TOKENS=${BATCHED_TOKENS:-8192}      # of a forward pass of vLLM
EPOCHS=${EPOCHS:-1}
#######################################################################

source examples/vlm_settings.sh             # DATA, MODEL, ACTOR, ROLLOUT, REWARD, DF, TRAINER; launch

MODEL+=(
    actor_rollout_ref.model.lora_rank="$LORA_RANK"
    actor_rollout_ref.model.lora_alpha="$LORA_ALPHA"
    actor_rollout_ref.model.target_modules=all-linear
    actor_rollout_ref.model.exclude_modules='.*visual.*'                # vLLM takes no adapter on the vision tower
)

ROLLOUT+=(
    actor_rollout_ref.rollout.load_format=safetensors                   # the base weights; only the adapter is sent later
    actor_rollout_ref.rollout.max_num_seqs=64
)

if [[ $ALGO == df_* ]]; then
    ALGORITHM=("${DF[@]}")
else
    ALGORITHM=(
        algorithm.adv_estimator=grpo
        actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean       # Eq. 22: a mean over each response
    )
fi

launch "$@"
