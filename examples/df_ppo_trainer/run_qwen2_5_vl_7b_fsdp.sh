#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF-PPO on Qwen2.5-VL-7B (Eq. 25-28), with a critic: FSDP2 and vLLM. The baseline, plain PPO from the same numbers:
# examples/ppo_trainer/run_qwen2_5_vl_7b_fsdp.sh. Any key of verl or of `df:`, and any preset, can be appended:
#   bash examples/df_ppo_trainer/run_qwen2_5_vl_7b_fsdp.sh preset=df_soft
# DRY_RUN=1 checks everything and starts nothing; it needs no GPU and no download. Several nodes: start Ray on them, then
# run this on the head node (NNODES=4). Needs a repair model: examples/repair_sft, examples/repair_rl.
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-df_ppo}                        # a file of recipe/df/config/objective, or ppo: stock PPO
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
ROLLOUTS=${ROLLOUTS:-4}                     # of a prompt; 1 needs df.group.on_no_correct=annotated_answer
MINI_BATCH=${MINI_BATCH:-32}                # prompts of an optimiser step; ours: 4 steps a batch
LR=${LR:-1e-6}                              # paper: "learning rate of 1 x 10^-6"
CRITIC_LR=${CRITIC_LR:-1e-5}                # ours, as in verl's PPO examples
CRITIC_WARMUP=${CRITIC_WARMUP:-5}           # batches that train the critic alone
MAX_PROMPT=${MAX_PROMPT:-4096}              # tokens, of images too; ours, as the other lengths
MAX_RESPONSE=${MAX_RESPONSE:-2048}
TOKENS_PER_GPU=${TOKENS_PER_GPU:-16384}     # of a micro-batch; less if the update runs out of memory
VLLM_SHARE=${VLLM_SHARE:-0.6}               # of a GPU's memory
BATCHED_TOKENS=${BATCHED_TOKENS:-16384}     # of a forward pass of vLLM
EPOCHS=${EPOCHS:-1}
#######################################################################

source examples/vlm_settings.sh             # DATA, MODEL, ACTOR, ROLLOUT, REWARD, DF, TRAINER; launch

CRITIC=(
    critic.strategy=fsdp2
    critic.optim.lr="$CRITIC_LR"
    critic.model.path="$POLICY"             # its backbone, and a linear head that starts at zero
    critic.model.use_remove_padding=True
    critic.model.enable_gradient_checkpointing=True
    critic.ppo_mini_batch_size="$MINI_BATCH"
    critic.use_dynamic_bsz=True
    critic.ppo_max_token_len_per_gpu="$((2 * TOKENS_PER_GPU))"
    critic.fsdp.param_offload=True
    critic.fsdp.optimizer_offload=True
)
TRAINER+=(trainer.critic_warmup="$CRITIC_WARMUP")

# Stock verl has no critic that sees images, so the baseline too needs verl_df installed; its trainer and loss are verl's.
if [[ $ALGO == df_* ]]; then
    ALGORITHM=("${DF[@]}")
else
    ALGORITHM=(
        algorithm.adv_estimator=gae
        actor_rollout_ref.actor.loss_agg_mode=token-mean
    )
fi

launch "${CRITIC[@]}" "$@"
