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
TRAIN=${TRAIN:-data/mmpr_tiny_train.parquet}                            # python -m verl_df.data convert mmpr_tiny
VAL=${VAL:-data/mathvista_testmini.parquet}
REWARD_PATH=${REWARD_PATH:-pkg://verl_df.evaluation.score}              # r_task; benchmarks by their own rules
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
EPOCHS=${EPOCHS:-1}
#######################################################################

DATA=(
    data.train_files="$TRAIN"
    data.val_files="$VAL"
    data.train_batch_size="$PROMPTS"
    data.max_prompt_length="$MAX_PROMPT"
    data.max_response_length="$MAX_RESPONSE"
    data.image_key=images
    data.filter_overlong_prompts=True
    data.filter_overlong_prompts_workers=8
    data.truncation=error                   # a cut prompt would have more image features than image tokens
)

MODEL=(
    actor_rollout_ref.model.path="$POLICY"
    actor_rollout_ref.model.use_remove_padding=True
    actor_rollout_ref.model.enable_gradient_checkpointing=True
)

ACTOR=(
    actor_rollout_ref.actor.strategy=fsdp2
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.ppo_mini_batch_size="$MINI_BATCH"
    actor_rollout_ref.actor.use_dynamic_bsz=True
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu="$TOKENS_PER_GPU"
    actor_rollout_ref.actor.use_kl_loss=False
    actor_rollout_ref.actor.entropy_coeff=0
    actor_rollout_ref.actor.fsdp_config.param_offload=True              # makes room for two vLLM engines in turn
    actor_rollout_ref.actor.fsdp_config.optimizer_offload=True
)

ROLLOUT=(
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.n="$ROLLOUTS"
    actor_rollout_ref.rollout.temperature=0.7                           # paper: "rollout temperature of 0.7"
    actor_rollout_ref.rollout.tensor_model_parallel_size="$TP"
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6
    actor_rollout_ref.rollout.max_num_batched_tokens=16384
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True
    actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu="$((2 * TOKENS_PER_GPU))"
    actor_rollout_ref.rollout.val_kwargs.do_sample=False                # greedy
    actor_rollout_ref.rollout.val_kwargs.temperature=0
)

REWARD=(
    reward.custom_reward_function.path="$REWARD_PATH"
    reward.custom_reward_function.name=compute_score
)

if [[ $ALGO == df_* ]]; then
    MAIN=recipe.df.main_df
    ALGORITHM=(
        objective="$ALGO"                   # estimator, ratio, clip, aggregation, group mode
        df.repair.model_path="$REPAIR"
        df.repair.n=2                       # paper: two repairs of each wrong rollout
        df.repair.temperature=0.7           # ours: the rollouts'
        df.group.reward_threshold=1.0       # paper: tau_r = 1
        df.log.dir="$OUT"
    )
else
    MAIN=verl.trainer.main_ppo
    ALGORITHM=(
        algorithm.adv_estimator=grpo
        actor_rollout_ref.actor.policy_loss.loss_mode=gspo
        actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean
        actor_rollout_ref.actor.clip_ratio_low=3e-4                     # the GSPO paper's
        actor_rollout_ref.actor.clip_ratio_high=4e-4
    )
fi

TRAINER=(
    trainer.project_name=verl_df
    trainer.experiment_name="${NAME}_$ALGO"
    trainer.logger='[console,file,tensorboard]'
    trainer.nnodes="$NNODES"
    trainer.n_gpus_per_node="$GPUS"
    trainer.val_before_train=True
    trainer.test_freq=10
    trainer.save_freq=20
    trainer.max_actor_ckpt_to_keep=3
    trainer.total_epochs="$EPOCHS"
    trainer.default_local_dir="$OUT/checkpoints"
)

export VERL_FILE_LOGGER_PATH="$OUT/metrics.jsonl" TENSORBOARD_DIR="$OUT/tensorboard"
RUN=("$PYTHON" -u -m "$MAIN")
if [[ ${DRY_RUN:-0} == 1 ]]; then RUN=("$PYTHON" -m recipe.df.dry_run "$MAIN"); else mkdir -p "$OUT"; fi

exec "${RUN[@]}" "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD[@]}" "${ALGORITHM[@]}" \
    "${TRAINER[@]}" "$@"
