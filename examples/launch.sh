# SPDX-License-Identifier: Apache-2.0
# Sourced by the launch scripts of real models, which set ALGO and RUN, files of recipe/df/config/run with all numbers. A
# variable below that is set replaces a number, and appended keys (verl's or `df:`) win over both. Also: PYTHON; NAME and OUT
# of the run; PART, a file over RUN's; DRY_RUN=1 checks everything and starts nothing, without a GPU or a download.
# shellcheck shell=bash disable=SC2034,SC2154
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-.venv/bin/python}
NAME=${NAME:-${RUN%%,*}}
STOCK=(hydra.searchpath='[pkg://recipe.df.config]')     # where stock verl finds our files
NUMBERS=()

# number VARIABLE KEY...: where VARIABLE is set, each KEY gets its value
number() {
    local key value=${!1:-}
    for key in "${@:2}"; do [[ -z $value ]] || NUMBERS+=("$key=$value"); done
}

# whole VARIABLE...: a path that is there becomes a whole one: processes of Ray look it up where Ray was started
whole() {
    local name
    for name in "$@"; do [[ ! -e ${!name:-} ]] || printf -v "$name" %s "$(realpath "${!name}")"; done
}

# start MODULE ARGUMENT...
start() {
    if [[ ${DRY_RUN:-0} == 1 ]]; then exec "$PYTHON" -m verl_df check "$@"; fi
    mkdir -p "$OUT"
    exec "$PYTHON" -u -m "$@"
}

# numbers_of_rl MAX_PROMPT: what policies and repair models have in common; MAX_PROMPT is that of the run's file.
numbers_of_rl() {
    # through Ray: the processes of one that is up have the variables of its `ray start`
    local variables="+ray_kwargs.ray_init.runtime_env.env_vars"
    NUMBERS+=("$variables.VERL_FILE_LOGGER_PATH=$OUT/metrics.jsonl" "$variables.TENSORBOARD_DIR=$OUT/tensorboard")
    whole TRAIN VAL REWARD_PATH POLICY STAGE1
    number TRAIN data.train_files
    number VAL data.val_files
    number MAX_PROMPT data.max_prompt_length
    number MAX_RESPONSE data.max_response_length
    number LORA_RANK actor_rollout_ref.model.lora_rank                  # 0: the whole model is trained
    number LORA_ALPHA actor_rollout_ref.model.lora_alpha
    if ((${LORA_RANK:-0} > 0)); then        # as run/qwen2_5_vl_3b_lora.yaml says
        NUMBERS+=(actor_rollout_ref.model.exclude_modules='.*visual.*' actor_rollout_ref.rollout.load_format=safetensors)
    fi
    number LR actor_rollout_ref.actor.optim.lr
    number ROLLOUTS actor_rollout_ref.rollout.n
    number TP actor_rollout_ref.rollout.tensor_model_parallel_size      # GPUs of a vLLM replica
    number VLLM_SHARE actor_rollout_ref.rollout.gpu_memory_utilization
    number BATCHED_TOKENS actor_rollout_ref.rollout.max_num_batched_tokens
    number TOKENS_PER_GPU actor_rollout_ref.actor.ppo_max_token_len_per_gpu     # of a micro-batch
    number REWARD_PATH reward.custom_reward_function.path               # r_task
    number NNODES trainer.nnodes                                        # `ray start` on each, the script on the first
    number GPUS trainer.n_gpus_per_node
    local workers=${GPUS:-${NNODES:+8}}     # of all nodes, 4 a GPU
    workers=${workers:+$((4 * workers * ${NNODES:-1}))}
    number workers actor_rollout_ref.rollout.agent.num_workers reward.num_workers
    local longest=${MAX_PROMPT:-${MAX_RESPONSE:+$1}}
    longest=${longest:+$((longest + ${MAX_RESPONSE:-2048}))}
    number longest actor_rollout_ref.rollout.max_model_len
    number EPOCHS trainer.total_epochs
}

# policy ARGUMENT...: train by objective ALGO, or by stock verl's. REPAIR: the repair model, of examples/repair_rl.
policy() {
    OUT=$(realpath -m "${OUT:-outputs/$NAME/$ALGO}")    # metrics, pairs, checkpoints
    numbers_of_rl 4096
    number POLICY actor_rollout_ref.model.path
    number PROMPTS data.train_batch_size
    number MINI_BATCH actor_rollout_ref.actor.ppo_mini_batch_size       # prompts of an optimiser step
    local run="[$RUN${PART:+,$PART}]" what
    what=(trainer.experiment_name="${NAME}_$ALGO" trainer.default_local_dir="$OUT/checkpoints" "${NUMBERS[@]}" "$@")
    if [[ -f recipe/df/config/baseline/$ALGO.yaml ]]; then
        start verl.trainer.main_ppo "${STOCK[@]}" +run="$run" +baseline="$ALGO" "${what[@]}"
    fi
    start recipe.df.main_df run="$run" objective="$ALGO" df.log.dir="$OUT" \
        df.repair.model_path="${REPAIR:-outputs/$NAME/repair_rl/model}" "${what[@]}"
}

# repair_rl ARGUMENT...: stage 2 of a repair model, from stage 1's last step STAGE1, by the policy's ALGO. AUDITOR_URL: an
# OpenAI-compatible endpoint; without one g_aud is 1. BASE: what a dry run without STAGE1 looks at instead of RUN's model.
repair_rl() {
    OUT=$(realpath -m "${OUT:-outputs/$NAME/repair_rl}") STAGE1=${STAGE1:-outputs/$NAME/repair_sft/global_step_93/huggingface}
    if [[ ${DRY_RUN:-0} == 1 && ! -d $STAGE1 ]]; then STAGE1=${BASE:-}; fi
    local loss=$ALGO run="[$RUN,repair_rl${PART:+,$PART}]" audited=${AUDITOR_URL:+True}
    local auditor=${AUDITOR_URL:+${AUDITOR_MODEL:-Qwen/Qwen2.5-VL-72B-Instruct}}
    case $ALGO in
        gspo | grpo) ;;
        dapo) loss=dapo_loss ;;
        *) echo "ALGO=$ALGO: write gspo, grpo or dapo" >&2 && exit 2 ;;
    esac
    numbers_of_rl 8192
    number STAGE1 actor_rollout_ref.model.path
    number TASKS data.train_batch_size      # wrong responses of a step, which is one optimiser step
    number REWARD_NAME reward.custom_reward_function.name
    number EDIT_PENALTY df.edit_penalty     # lambda
    number audited df.auditor.enabled
    number AUDITOR_URL df.auditor.endpoint.base_url
    number auditor df.auditor.endpoint.model
    start recipe.df.main_repair run="$run" +baseline="$loss" df.log_dir="$OUT" \
        trainer.experiment_name="${NAME}_repair_rl_$ALGO" trainer.default_local_dir="$OUT/checkpoints" "${NUMBERS[@]}" "$@"
}

# repair_sft ARGUMENT...: stage 1 of a repair model. Its numbers: recipe/df/config/sft/repair.yaml.
repair_sft() {
    OUT=${OUT:-outputs/$NAME/repair_sft} NNODES=${NNODES:-1} NPROC=${NPROC:-8}     # NPROC: GPUs of a node
    if ((NNODES > 1)) && [[ -z ${MASTER_ADDR:-} && ${DRY_RUN:-0} != 1 ]]; then
        echo "NNODES=$NNODES: set MASTER_ADDR to the first node's address, or the others wait for one on their own" >&2 && exit 2
    fi
    number POLICY model.path
    number DATA data.train_files
    number BATCH data.train_batch_size
    number MAX_LENGTH data.max_length
    number TOKENS_PER_GPU data.max_token_len_per_gpu
    number LR optim.lr
    number EPOCHS trainer.total_epochs
    number LORA_RANK model.lora_rank
    number LORA_ALPHA model.lora_alpha
    local what=(
        recipe.df.main_repair_sft "${STOCK[@]}" +sft=repair trainer.experiment_name="${NAME}_repair_sft"
        trainer.default_local_dir="$OUT" trainer.nnodes="$NNODES" trainer.n_gpus_per_node="$NPROC" "${NUMBERS[@]}" "$@"
    )
    if [[ ${DRY_RUN:-0} == 1 ]]; then exec "$PYTHON" -m verl_df check "${what[@]}"; fi
    exec "${TORCHRUN:-.venv/bin/torchrun}" --nnodes="$NNODES" --node-rank="${NODE_RANK:-0}" --master-addr="${MASTER_ADDR:-127.0.0.1}" \
        --master-port="${MASTER_PORT:-29500}" --nproc-per-node="$NPROC" -m "${what[@]}"
}
