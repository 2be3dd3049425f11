# SPDX-License-Identifier: Apache-2.0
# What every policy run on a real model shares. Sourced by the launch scripts in examples/df_*_trainer, after they have set
# the variables of their user-adjustable block; they append what is their own. The numbers are theirs, the reasons are here.
# shellcheck shell=bash disable=SC2034,SC2154

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
    actor_rollout_ref.rollout.gpu_memory_utilization="$VLLM_SHARE"
    actor_rollout_ref.rollout.max_num_batched_tokens="$BATCHED_TOKENS"
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True
    actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu="$((2 * TOKENS_PER_GPU))"
    actor_rollout_ref.rollout.val_kwargs.do_sample=False                # greedy
    actor_rollout_ref.rollout.val_kwargs.temperature=0
)

REWARD=(
    reward.custom_reward_function.path="$REWARD_PATH"
    reward.custom_reward_function.name=compute_score
)

DF=(
    objective="$ALGO"                       # estimator, ratio, clip, aggregation, sampling, critic, group mode
    df.repair.model_path="$REPAIR"
    df.repair.n=2                           # paper: two repairs of each wrong rollout
    df.repair.temperature=0.7               # ours: the rollouts'
    df.group.reward_threshold=1.0           # paper: tau_r = 1
    df.log.dir="$OUT"
)

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

# launch ARGUMENTS: run the script's entry point, or check it only; ALGORITHM is the script's
launch() {
    export VERL_FILE_LOGGER_PATH="$OUT/metrics.jsonl" TENSORBOARD_DIR="$OUT/tensorboard"
    local main=verl.trainer.main_ppo run
    if [[ $ALGO == df_* ]]; then main=recipe.df.main_df; fi
    run=("$PYTHON" -u -m "$main")
    if [[ ${DRY_RUN:-0} == 1 ]]; then run=("$PYTHON" -m verl_df check "$main"); else mkdir -p "$OUT"; fi
    exec "${run[@]}" "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD[@]}" "${ALGORITHM[@]}" \
        "${TRAINER[@]}" "$@"
}
