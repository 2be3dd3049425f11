#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# DF on the toy world: stock verl (V1 trainer, FSDP2, TransferQueue), Ray, vLLM's async server, a tiny Qwen2.5-VL, on two
# CPU cores.
# Needs the outputs of examples/toy/build_world.sh. Any key of verl or of `df:`, and any preset, can be appended:
#   bash examples/toy/run_toy_qwen2_5_vl.sh df.gate.kind=soft
#   ALGO=df_gspo bash examples/toy/run_toy_qwen2_5_vl.sh preset=df_n4
# The baseline, verl's own GRPO without any of our code but the CPU platform, from the same numbers:
#   ALGO=grpo bash examples/toy/run_toy_qwen2_5_vl.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
ALGO=${ALGO:-df_grpo}                       # a file of recipe/df/config/objective, or grpo: stock verl
PYTHON=${PYTHON:-.venv/bin/python}
WORLD=${WORLD:-outputs/toy}                 # data/, policy/, repair/ of build_world.sh
OUT=${OUT:-$WORLD/$ALGO}                    # metrics, pairs, checkpoints
POLICY=${POLICY:-$WORLD/policy}
REPAIR=${REPAIR:-$WORLD/repair}             # the repair model
REPAIRS=${REPAIRS:-}                        # instead: a folder with one per variant, for presets such as df_no_c1
STEPS=${STEPS:-20}
PROMPTS=${PROMPTS:-16}                      # prompts per step
ROLLOUTS=${ROLLOUTS:-8}                     # rollouts per prompt
LR=${LR:-3e-4}
WORKERS=${WORKERS:-1}                       # FSDP workers, each with its own vLLM replicas; 2 on two cores works too
MAIN=${MAIN:-recipe.df.main_df}             # entry point of all but grpo
TIME_LIMIT=${TIME_LIMIT:-1500}              # seconds; a failed vLLM or Ray worker can hang a run for good
#######################################################################

source scripts/cpu_env.sh

DATA=(
    data.train_files="$WORLD/data/train.parquet"
    data.val_files="$WORLD/data/val.parquet"
    data.train_batch_size="$PROMPTS"
    data.max_prompt_length=128
    data.max_response_length=64
    data.image_key=images
    data.filter_overlong_prompts=False      # the toy's prompts are all short
    data.dataloader_num_workers=0
    data.seed=1
)

MODEL=(
    actor_rollout_ref.model.path="$POLICY"
    actor_rollout_ref.model.use_remove_padding=False
    actor_rollout_ref.model.enable_gradient_checkpointing=False
    +actor_rollout_ref.model.override_config.attn_implementation=sdpa   # no flash-attn on a CPU
)

ACTOR=(
    actor_rollout_ref.actor.strategy=fsdp2
    actor_rollout_ref.actor.optim.lr="$LR"
    actor_rollout_ref.actor.ppo_mini_batch_size="$PROMPTS"
    actor_rollout_ref.actor.use_dynamic_bsz=True
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192
    actor_rollout_ref.actor.use_kl_loss=False
    actor_rollout_ref.actor.fsdp_config.use_torch_compile=False
    actor_rollout_ref.actor.fsdp_config.model_dtype=fp32
    '+actor_rollout_ref.actor.fsdp_config.mixed_precision={param_dtype: fp32, reduce_dtype: fp32}'   # bf16 is slower on a CPU
)

ROLLOUT=(
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.n="$ROLLOUTS"
    actor_rollout_ref.rollout.temperature=1.0
    actor_rollout_ref.rollout.dtype=float32
    +actor_rollout_ref.rollout.enable_sleep_mode=False                  # vLLM cannot sleep on a CPU
    +actor_rollout_ref.rollout.engine_kwargs.vllm.kv_cache_memory_bytes=134217728
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
    actor_rollout_ref.rollout.val_kwargs.do_sample=False                # greedy validation
    actor_rollout_ref.rollout.val_kwargs.temperature=0
)

REWARD=(
    reward.num_workers=1
    reward.custom_reward_function.path=pkg://verl_df.toy.reward
    reward.custom_reward_function.name=compute_score
)

if [[ $ALGO == grpo ]]; then
    MAIN=verl.trainer.main_ppo
    ALGORITHM=(algorithm.adv_estimator=grpo actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean)
elif [[ -f recipe/df/config/objective/$ALGO.yaml ]]; then
    # estimator, loss, clip, aggregation and group mode are the objective's: nothing above or below sets them
    ALGORITHM=(
        objective="$ALGO"
        df.truth.path=pkg://verl_df.toy.truth                           # the toy knows which tokens are wrong: score the masks
        df.log.dir="$OUT"
    )
    if [[ -n $REPAIRS ]]; then
        ALGORITHM+=(df.repair.models_dir="$REPAIRS")
    else
        ALGORITHM+=(df.repair.model_path="$REPAIR")
    fi
else
    names=$(cd recipe/df/config/objective && echo *.yaml)
    echo "ALGO=$ALGO: write grpo (stock verl) or one of ${names//.yaml/}" >&2
    exit 2
fi

case "$ALGO" in
    *dapo*)
        ALGORITHM+=(reward.reward_kwargs.overlong_buffer_cfg.len=16)    # of 64 tokens
        ;;
    df_ppo)
        ALGORITHM+=(
            critic.strategy=fsdp2
            critic.optim.lr="$LR"
            +critic.ppo_infer_max_token_len_per_gpu=8192                # verl takes this for the critic's updates too
            critic.model.use_remove_padding=False
            critic.model.enable_gradient_checkpointing=False
            +critic.model.override_config.attn_implementation=sdpa
            critic.fsdp.use_torch_compile=False
            critic.fsdp.model_dtype=fp32
            '+critic.fsdp.mixed_precision={param_dtype: fp32, reduce_dtype: fp32}'
        )
        ;;
esac

TRAINER=(
    trainer.project_name=verl_df
    trainer.experiment_name="toy_$ALGO"
    trainer.logger='[console,file,tensorboard]'
    trainer.nnodes=1
    trainer.n_gpus_per_node="$WORKERS"      # of a stand-in: Ray is told below that it has so many GPUs
    trainer.device=cpu
    trainer.val_before_train=True
    trainer.test_freq=5
    trainer.save_freq="$STEPS"
    trainer.total_training_steps="$STEPS"
    trainer.total_epochs=1000
    trainer.resume_mode=disable
    trainer.default_local_dir="$OUT/checkpoints"
)

RUNTIME=(
    transfer_queue.backend.SimpleStorage.num_data_storage_units=1       # of 8: saves 2.5 GB
    ray_kwargs.ray_init.num_cpus=16                                     # Ray counts, it does not pin; a bundle asks for several
    +ray_kwargs.ray_init.num_gpus="$WORKERS"
    +ray_kwargs.ray_init.object_store_memory=300000000
    +ray_kwargs.ray_init.include_dashboard=False
)

mkdir -p "$OUT"
export VERL_FILE_LOGGER_PATH="$OUT/metrics.jsonl" TENSORBOARD_DIR="$OUT/tensorboard"

exec timeout --kill-after=30 "$TIME_LIMIT" "$PYTHON" -u -m "$MAIN" \
    "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD[@]}" "${ALGORITHM[@]}" "${TRAINER[@]}" "${RUNTIME[@]}" "$@"
