# SPDX-License-Identifier: Apache-2.0
# What every run on the toy world shares: a tiny Qwen2.5-VL on two CPU cores. Sourced by the launch scripts beside it, after
# they have set MODEL_PATH, MINI_BATCH, ROLLOUTS, LR, WORKERS, STEPS and OUT.

DATA=(
    data.max_response_length=64
    data.image_key=images
    data.filter_overlong_prompts=False                                  # the toy's prompts are all short
    data.dataloader_num_workers=0
)

MODEL=(
    actor_rollout_ref.model.path="$MODEL_PATH"
    actor_rollout_ref.model.use_remove_padding=False
    actor_rollout_ref.model.enable_gradient_checkpointing=False
    +actor_rollout_ref.model.override_config.attn_implementation=sdpa   # no flash-attn on a CPU
)

ACTOR=(
    actor_rollout_ref.actor.strategy=fsdp2
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.ppo_mini_batch_size="$MINI_BATCH"
    actor_rollout_ref.actor.use_dynamic_bsz=True
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192
    actor_rollout_ref.actor.use_kl_loss=False
    actor_rollout_ref.actor.fsdp_config.use_torch_compile=False
    actor_rollout_ref.actor.fsdp_config.model_dtype=fp32
    '+actor_rollout_ref.actor.fsdp_config.mixed_precision={param_dtype: fp32, reduce_dtype: fp32}'   # bf16 is slower on a CPU
)

CRITIC=(                                                                # of PPO
    +critic.ppo_infer_max_token_len_per_gpu=8192                        # verl takes this for the critic's updates too
    critic.model.use_remove_padding=False
    +critic.model.override_config.attn_implementation=sdpa
    critic.fsdp.use_torch_compile=False
    critic.fsdp.model_dtype=fp32
    '+critic.fsdp.mixed_precision={param_dtype: fp32, reduce_dtype: fp32}'
)

ROLLOUT=(
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.n="$ROLLOUTS"
    actor_rollout_ref.rollout.temperature=1.0
    actor_rollout_ref.rollout.dtype=float32
    +actor_rollout_ref.rollout.enable_sleep_mode=False                  # vLLM cannot sleep on a CPU
    +actor_rollout_ref.rollout.engine_kwargs.vllm.kv_cache_memory_bytes=67108864
    actor_rollout_ref.rollout.tensor_model_parallel_size=1
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True
    actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=8192
    actor_rollout_ref.rollout.calculate_log_probs=True                  # rollout against actor probabilities, every step
    actor_rollout_ref.rollout.enforce_eager=True
    actor_rollout_ref.rollout.max_model_len=512
    actor_rollout_ref.rollout.max_num_batched_tokens=2048
    actor_rollout_ref.rollout.max_num_seqs=64
    actor_rollout_ref.rollout.gpu_memory_utilization=0.1
    +actor_rollout_ref.rollout.engine_kwargs.vllm.skip_mm_profiling=True
    actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=16
    actor_rollout_ref.rollout.agent.num_workers=1
)

REWARD=(
    reward.num_workers=1
    reward.custom_reward_function.path=pkg://verl_df.lab.toy.reward
    reward.custom_reward_function.name=compute_score
)

TRAINER=(
    trainer.project_name=verl_df
    trainer.logger='[console,file,tensorboard]'
    trainer.nnodes=1
    trainer.n_gpus_per_node="$WORKERS"                                  # of a stand-in: Ray is told below that it has so many
    trainer.device=cpu
    trainer.save_freq=5                                                 # and after the last step
    trainer.max_actor_ckpt_to_keep=2                                    # with 1, verl removes the old one before the new one is
    trainer.max_critic_ckpt_to_keep=2                                   # complete
    trainer.total_training_steps="$STEPS"
    trainer.total_epochs=1000
    trainer.default_local_dir="$OUT/checkpoints"
)

RUNTIME=(
    transfer_queue.backend.SimpleStorage.num_data_storage_units=1       # of 8: saves 2.5 GB
    ray_kwargs.ray_init.num_cpus=16                                     # Ray counts, it does not pin; a bundle asks for several
    +ray_kwargs.ray_init.num_gpus="$WORKERS"
    +ray_kwargs.ray_init.object_store_memory=300000000
    +ray_kwargs.ray_init.include_dashboard=False
)
if [[ -n ${VERL_DF_PYTHON:-} ]]; then
    RUNTIME+=(+ray_kwargs.ray_init.runtime_env.py_executable="$PYTHON")   # Ray's workers start warm, too
fi
