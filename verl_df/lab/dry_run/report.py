# SPDX-License-Identifier: Apache-2.0
"""What a dry run prints."""

from verl_df.lab.dry_run.memory import estimate
from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.dry_run.sizes import RunSizes


def describe(run: RunSizes, model: ModelSizes, gpu: float) -> list[str]:
    """What a step amounts to, and estimates of memory for GPUs of `gpu` GB, a line each."""
    rows = run.prompts * run.rollouts
    repairs = f"; at most {rows:,} x {run.repairs} repairs" if run.repairs else ""
    steps, ranks = run.prompts // run.mini_batch, run.gpus // run.sequence_parallel
    per_rank = run.mini_batch * run.rollouts // ranks
    replicas = run.gpus // run.tensor_parallel
    twice = "; as many of the repair model" if run.colocated else ""
    memory = estimate(run, model, gpu)
    return [
        f"step: {run.prompts} prompts x {run.rollouts} rollouts = {rows:,} responses of up to {run.response:,} tokens"
        + repairs,
        f"update: {run.mini_batch} prompts in each of {steps} optimiser steps, {per_rank:,} rollouts on "
        f"each of {ranks} ranks",
        f"engines: {replicas} vLLM replicas, tensor-parallel over {run.tensor_parallel}, on {run.gpus} GPUs{twice}",
        f"memory of a {gpu:.0f} GB GPU (estimate): update {memory.update:.1f} GB of states + "
        f"{memory.update_batch:.1f} GB for a full micro-batch; rollout {memory.resident:.1f} GB of states + "
        f"{gpu * run.memory_share:.1f} GB for vLLM, of which {memory.engine:.1f} GB are weights, "
        f"room for {memory.responses:,} full-length responses",
        f"memory of a node (estimate): {memory.host:.0f} GB of states and sleeping engines",
    ]
