#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 1 of the repair model on one node: verl's own SFT trainer on D_rep, Eq. 1. The loss is on y* only: the prompt with
# question, wrong response and reference is a user turn, y* the assistant's. Data:
#   verl-df repair-data sample ... ; export ; import ; parquet --out-sft repair_sft.parquet
# The model starts from the policy (phi <- theta), so that repairs stay in the policy's distribution.
# DRY_RUN=1 checks everything and starts nothing; it needs no GPU and no download.
set -euo pipefail
cd "$(dirname "$0")/../.."

########################### user-adjustable ###########################
POLICY=${POLICY:-Qwen/Qwen2.5-VL-7B-Instruct}
NAME=${NAME:-qwen2_5_vl_7b}
DATA=${DATA:-data/repair_sft.parquet}       # paper: 1,000 human-written repairs
OUT=${OUT:-outputs/$NAME/repair_sft}
PYTHON=${PYTHON:-.venv/bin/python}
TORCHRUN=${TORCHRUN:-.venv/bin/torchrun}
NPROC=${NPROC:-8}                           # GPUs of the node
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
MASTER_PORT=${MASTER_PORT:-29500}
BATCH=${BATCH:-32}                          # the paper gives no settings of stage 1: batch, learning rate, epochs are ours
LR=${LR:-1e-5}
EPOCHS=${EPOCHS:-3}
MAX_LENGTH=${MAX_LENGTH:-8192}              # tokens: image, question, y, reference and y*
TOKENS_PER_GPU=${TOKENS_PER_GPU:-16384}     # of a micro-batch; less if it runs out of memory
LORA_RANK=${LORA_RANK:-0}                   # 0: the whole model is trained
LORA_ALPHA=${LORA_ALPHA:-32}
#######################################################################

DATA_ARGS=(
    data.train_files="$DATA"
    data.train_batch_size="$BATCH"
    data.max_length="$MAX_LENGTH"
    data.max_token_len_per_gpu="$TOKENS_PER_GPU"
    data.use_dynamic_bsz=True
    data.pad_mode=no_padding
    data.truncation=error                   # a cut y* would teach cut repairs
    data.num_workers=4
)

MODEL=(
    model.path="$POLICY"
    model.use_remove_padding=True
    model.enable_gradient_checkpointing=True
    model.lora_rank="$LORA_RANK"
    model.lora_alpha="$LORA_ALPHA"
)

ENGINE=(
    engine=fsdp
    engine.strategy=fsdp2
    engine.model_dtype=fp32                 # master weights; FSDP computes in bfloat16
)

OPTIM=(
    optim.lr="$LR"
    optim.lr_warmup_steps_ratio=0.05
    optim.lr_scheduler_type=cosine
    optim.min_lr_ratio=0.1
    optim.weight_decay=0.01
    optim.clip_grad=1.0
)

TRAINER=(
    trainer.project_name=verl_df
    trainer.experiment_name="${NAME}_repair_sft"
    trainer.logger='[console,tensorboard]'
    trainer.total_epochs="$EPOCHS"
    trainer.save_freq=after_each_epoch
    trainer.default_local_dir="$OUT"
    trainer.nnodes="$NNODES"
    trainer.n_gpus_per_node="$NPROC"
    checkpoint.save_contents='[model,optimizer,extra,hf_model]'     # hf_model: a folder that stage 2 can start from
)

RUN=(
    "$TORCHRUN" --nnodes="$NNODES" --node-rank="$NODE_RANK" --master-addr="$MASTER_ADDR" --master-port="$MASTER_PORT"
    --nproc-per-node="$NPROC" -m verl.trainer.sft_trainer
)
if [[ ${DRY_RUN:-0} == 1 ]]; then RUN=("$PYTHON" -m verl_df check verl.trainer.sft_trainer); fi

exec "${RUN[@]}" "${DATA_ARGS[@]}" "${MODEL[@]}" "${ENGINE[@]}" "${OPTIM[@]}" "${TRAINER[@]}" "$@"
