# SPDX-License-Identifier: Apache-2.0
"""What a dry run prints."""

from verl_df.lab.dry_run.engine import GIB, EngineMemory, EngineSizes
from verl_df.lab.dry_run.memory import Ledger
from verl_df.lab.dry_run.sizes import RunSizes
from verl_df.lab.dry_run.update import PassMemory, PassSizes


def describe(run: RunSizes, sums: Ledger) -> list[str]:
    """What a step amounts to, and the ledger, a line each. GiB are of one GPU, or of a node where it says so."""
    rows = run.prompts * run.rollouts
    repairs = f"; at most {rows:,} x {run.repairs} repairs" if run.repairs else ""
    steps, ranks = run.prompts // run.mini_batch, run.gpus // run.sequence_parallel
    per_rank = run.mini_batch * run.rollouts // ranks
    lines = [
        f"step: {run.prompts} prompts x {run.rollouts} rollouts = {rows:,} responses of up to {run.response:,} tokens"
        + repairs,
        f"update: {run.mini_batch} prompts in each of {steps} optimiser steps, {per_rank:,} rollouts on "
        f"each of {ranks} ranks",
        _engine("policy", run, run.policy, sums.policy),
    ]
    if run.repair and sums.repair:
        lines.append(_engine("repair model", run, run.repair, sums.repair))
    return [
        *lines,
        _pass("update", run.update.tokens, sums.update),
        _pass("log-probabilities", run.log_prob.tokens, sums.log_prob),
        f"memory of a GPU, {_gib(sums.card)} GiB (estimate): "
        + ", ".join(f"{phase} {_gib(total)}" for phase, total in sums.phases.items()),
        f"memory of a node (estimate): {sums.host / GIB:.0f} GiB, {sums.engines / GIB:.0f} of them pinned for weights "
        f"of sleeping engines, {sums.states / GIB:.0f} pinned for states that leave the GPUs, "
        f"{sums.processes / GIB:.0f} of processes",
    ]


def describe_sft(one: PassSizes, memory: PassMemory) -> str:
    """The line on the memory of a GPU in supervised training."""
    return _pass("update", one.tokens, memory)


def _engine(name: str, run: RunSizes, engine: EngineSizes, memory: EngineMemory) -> str:
    replicas = run.gpus // engine.tensor_parallel
    pictures = f" ({memory.items} pictures of {memory.tokens:,} tokens)" if memory.items else ""
    sequences = max(0, int(memory.room / (memory.token * engine.wanted)))
    return (
        f"vLLM, {name}: {replicas} replicas over {engine.tensor_parallel} GPUs, {_gib(memory.share)} GiB of each: "
        f"weights {_gib(memory.weights)}, a step {_gib(max(memory.pictures, memory.activations))}{pictures}, around "
        f"them {_gib(memory.fixed)}, keys and values {_gib(max(0.0, memory.room))}: {sequences} sequences of "
        f"{engine.wanted:,} tokens"
    )


def _pass(name: str, tokens: int, memory: PassMemory) -> str:
    return (
        f"FSDP, {name}: {_gib(memory.total)} GiB: states {_gib(memory.states)}; {tokens:,} tokens: checkpoints "
        f"{_gib(memory.checkpoints)}, logits {_gib(memory.logits)}, in a layer {_gib(memory.inside)}; gathered "
        f"{_gib(memory.gathered)}"
    )


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"
