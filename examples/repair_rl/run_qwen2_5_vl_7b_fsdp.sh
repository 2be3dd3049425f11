#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 2 of the repair model on one node: reinforcement learning on r_rep (Eq. 4) with the policy's own algorithm, here
# GSPO as in the paper's 7B runs. Data: repair tasks, which need no annotation:
#   verl-df repair-data parquet DIR --out-rl repair_tasks.parquet --held-out 0.1 --out-val repair_tasks_val.parquet
# The auditor (paper: Qwen2.5-VL-72B-Instruct) is any OpenAI-compatible endpoint; without AUDITOR_URL g_aud is 1:
#   AUDITOR_URL=http://host:8000/v1 bash examples/repair_rl/run_qwen2_5_vl_7b_fsdp.sh
# DRY_RUN=1 checks everything and starts nothing; it needs no GPU and no download.
# Then a folder for df.repair.model_path, from the newest checkpoint:
#   cd outputs/qwen2_5_vl_7b/repair_rl && verl-df checkpoint merge checkpoints --out model
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-gspo}                          # gspo, grpo or dapo: the policy's
PYTHON=${PYTHON:-.venv/bin/python}
NAME=${NAME:-qwen2_5_vl_7b}
STAGE1=${STAGE1:-outputs/$NAME/repair_sft/global_step_93/huggingface}           # the last step of stage 1
BASE=${BASE:-Qwen/Qwen2.5-VL-7B-Instruct}   # of which stage 1 was made; only a dry run without STAGE1 looks at it
TRAIN=${TRAIN:-data/repair_tasks.parquet}
VAL=${VAL:-data/repair_tasks_val.parquet}
OUT=${OUT:-outputs/$NAME/repair_rl}
REWARD_PATH=${REWARD_PATH:-pkg://verl_df.judges.final_answer}                   # r_task: the policy's
REWARD_NAME=${REWARD_NAME:-compute_score}
EDIT_PENALTY=${EDIT_PENALTY:-0.5}           # lambda (paper: 0.5)
AUDITOR_URL=${AUDITOR_URL:-}
AUDITOR_MODEL=${AUDITOR_MODEL:-Qwen/Qwen2.5-VL-72B-Instruct}
NNODES=${NNODES:-1}
GPUS=${GPUS:-8}                             # of each node
TASKS=${TASKS:-128}                         # paper: rollout batch 128
ROLLOUTS=${ROLLOUTS:-8}                     # the paper gives none for stage 2
EPOCHS=${EPOCHS:-1}
TP=${TP:-1}                                 # GPUs of a vLLM replica
MAX_PROMPT=${MAX_PROMPT:-8192}              # tokens: image, question, y and reference
MAX_RESPONSE=${MAX_RESPONSE:-2048}
TOKENS_PER_GPU=${TOKENS_PER_GPU:-16384}     # of a micro-batch; less if the update runs out of memory
LR=${LR:-1e-6}                              # paper
LORA_RANK=${LORA_RANK:-0}                   # 0: the whole model is trained
LORA_ALPHA=${LORA_ALPHA:-32}
#######################################################################

DATA=(
    data.train_files="$TRAIN"
    data.val_files="$VAL"
    data.train_batch_size="$TASKS"
    data.max_prompt_length="$MAX_PROMPT"
    data.max_response_length="$MAX_RESPONSE"
    data.image_key=images
    data.filter_overlong_prompts=False      # verl would measure the policy's prompt, not the repair prompt
)

MODEL=(
    actor_rollout_ref.model.path="$STAGE1"
    actor_rollout_ref.model.use_remove_padding=True
    actor_rollout_ref.model.enable_gradient_checkpointing=True
    actor_rollout_ref.model.lora_rank="$LORA_RANK"
    actor_rollout_ref.model.lora_alpha="$LORA_ALPHA"
)
if ((LORA_RANK > 0)); then
    MODEL+=(
        actor_rollout_ref.model.exclude_modules='.*visual.*'            # vLLM takes no adapter on the vision tower
        actor_rollout_ref.rollout.load_format=safetensors               # the base weights; only the adapter is sent later
    )
fi

ACTOR=(
    actor_rollout_ref.actor.strategy=fsdp2
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.ppo_mini_batch_size="$TASKS"
    actor_rollout_ref.actor.use_dynamic_bsz=True
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu="$TOKENS_PER_GPU"
    actor_rollout_ref.actor.use_kl_loss=False
    actor_rollout_ref.actor.fsdp_config.param_offload=True
    actor_rollout_ref.actor.fsdp_config.optimizer_offload=True
)

ROLLOUT=(
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.n="$ROLLOUTS"
    actor_rollout_ref.rollout.temperature=0.7                           # paper
    actor_rollout_ref.rollout.tensor_model_parallel_size="$TP"
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True
    actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu="$((2 * TOKENS_PER_GPU))"
    actor_rollout_ref.rollout.val_kwargs.do_sample=True
    actor_rollout_ref.rollout.val_kwargs.temperature=0.7
    actor_rollout_ref.rollout.val_kwargs.n=2                            # Acc@1 and Acc@2 (table 3)
)

case "$ALGO" in
    grpo) ALGORITHM=(algorithm.adv_estimator=grpo actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean) ;;
    gspo)
        ALGORITHM=(
            algorithm.adv_estimator=grpo
            actor_rollout_ref.actor.policy_loss.loss_mode=gspo
            actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean
            actor_rollout_ref.actor.clip_ratio_low=3e-4                 # the GSPO paper's
            actor_rollout_ref.actor.clip_ratio_high=4e-4
        )
        ;;
    dapo)
        ALGORITHM=(
            algorithm.adv_estimator=grpo
            actor_rollout_ref.actor.loss_agg_mode=token-mean
            actor_rollout_ref.actor.clip_ratio_low=0.2
            actor_rollout_ref.actor.clip_ratio_high=0.28
        )
        ;;
    *)
        echo "ALGO=$ALGO: write gspo, grpo or dapo" >&2
        exit 2
        ;;
esac

DF=(
    df.edit_penalty="$EDIT_PENALTY"
    df.log_dir="$OUT"
    reward.custom_reward_function.path="$REWARD_PATH"
    reward.custom_reward_function.name="$REWARD_NAME"
)
if [[ -n $AUDITOR_URL ]]; then
    DF+=(df.auditor.enabled=True df.auditor.endpoint.base_url="$AUDITOR_URL" df.auditor.endpoint.model="$AUDITOR_MODEL")
fi

TRAINER=(
    trainer.project_name=verl_df
    trainer.experiment_name="${NAME}_repair_rl_$ALGO"
    trainer.logger='[console,file,tensorboard]'
    trainer.nnodes="$NNODES"
    trainer.n_gpus_per_node="$GPUS"
    trainer.val_before_train=True                                       # stage 1's figures
    trainer.test_freq=10
    trainer.save_freq=20
    trainer.total_epochs="$EPOCHS"
    trainer.default_local_dir="$OUT/checkpoints"
)

export VERL_FILE_LOGGER_PATH="$OUT/metrics.jsonl" TENSORBOARD_DIR="$OUT/tensorboard"

RUN=("$PYTHON" -u -m recipe.df.main_repair)
if [[ ${DRY_RUN:-0} == 1 ]]; then
    RUN=("$PYTHON" -m verl_df check recipe.df.main_repair)
    if [[ ! -d $STAGE1 ]]; then MODEL+=(actor_rollout_ref.model.path="$BASE"); fi
else
    mkdir -p "$OUT"
fi

exec "${RUN[@]}" \
    "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${ALGORITHM[@]}" "${DF[@]}" "${TRAINER[@]}" "$@"
