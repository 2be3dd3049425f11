# SPDX-License-Identifier: Apache-2.0
"""The ledger of a run: what each phase asks of a GPU, and what a node keeps for its GPUs, from counting bytes.

Estimates where there is nothing to count: what processes and sleeping engines keep on a card, and processes on a host.
"""

from dataclasses import dataclass

from verl_df.lab.dry_run.engine import (
    CONTEXT,
    GIB,
    GRAPHS,
    NCCL,
    EngineMemory,
    EngineSizes,
    check_engine,
    engine_memory,
)
from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.dry_run.sizes import RunSizes
from verl_df.lab.dry_run.update import (
    PassMemory,
    PassSizes,
    log_prob_memory,
    lora_parameters,
    offloaded,
    update_memory,
)
from verl_df.lab.dry_run.weights import engine_segments, pinned
from verl_df.settings.config import ConfigError

# A card of 80 GB reports 79.2 to 79.6 GiB, one of 40 GB 39.4.
_REPORTED = 0.985
_ACTOR = CONTEXT + 2 * NCCL  # what the actor's process keeps on a card when its states are away
_PROCESS = 1.3 * GIB  # of a host's memory: a process that has imported torch, vLLM and verl
_A_GPU = 5  # such processes for each GPU: the actor's, and of each engine a server and a worker


@dataclass(frozen=True)
class Ledger:
    """What a run asks for, in bytes.

    Attributes:
        card: what a GPU reports.
        policy, repair: the engines, on one GPU; repair is None without a repair model.
        update, log_prob: the two passes, on one GPU.
        asleep, actor: what sleeping engines, and the actor between its passes, keep on a GPU.
        engines, states: pinned memory of a node, rounded: weights of sleeping engines, and states that leave the GPUs.
        processes: memory of a node's processes.
    """

    card: float
    policy: EngineMemory
    repair: EngineMemory | None
    update: PassMemory
    log_prob: PassMemory
    asleep: float
    actor: float
    engines: int
    states: int
    processes: float

    @property
    def phases(self) -> dict[str, float]:
        """What lies on a GPU in each phase of a step."""
        one_asleep = self.asleep / 2 if self.repair else 0.0
        phases = {"rollout": self.policy.share + one_asleep + self.actor}
        if self.repair:
            phases["repair"] = self.repair.share + one_asleep + self.actor
        context = _ACTOR + self.asleep
        return phases | {"log-probabilities": self.log_prob.total + context, "update": self.update.total + context}

    @property
    def host(self) -> float:
        """What a node needs in all."""
        return self.engines + self.states + self.processes


def ledger(run: RunSizes, model: ModelSizes, gpu: float) -> Ledger:
    """Count it for GPUs that are sold as `gpu` GB."""
    card, per_node = gpu * GIB * _REPORTED, run.gpus // run.nodes
    adapters = lora_parameters(model, run.lora) if run.lora else None
    pictures = run.prompt / (run.prompt + run.response)
    states = pinned(offloaded(model, run.gpus, adapters))
    resident = 0.0 if run.offload else _states(model, run.gpus, adapters)
    if run.critic:
        resident += 0.0 if run.critic_offload else _states(model, run.gpus, None)
    # an engine whose adapter alone is sent keeps its base weights while it sleeps, as the repair engine does
    keeping = [engine for engine in (run.repair, run.policy if run.lora else None) if engine]
    engines = [engine for engine in (run.policy, run.repair) if engine]
    update = update_memory(run.update, model, run.gpus, adapters, pictures)
    if run.critic and not run.critic_offload:
        update = PassMemory(**{**vars(update), "states": update.states + _states(model, run.gpus, None)})
    return Ledger(
        card=card,
        policy=engine_memory(run.policy, model, card),
        repair=engine_memory(run.repair, model, card) if run.repair else None,
        update=update,
        log_prob=log_prob_memory(run.log_prob, model, run.gpus, pictures),
        asleep=sum(_residue(engine) for engine in engines),
        actor=_ACTOR + resident,
        engines=sum(per_node * pinned(engine_segments(model, engine.tensor_parallel)) for engine in keeping),
        states=per_node * states * ((1 if run.offload else 0) + (1 if run.critic_offload else 0)),
        processes=_PROCESS * (run.workers / run.nodes + _A_GPU * per_node),
    )


def _states(model: ModelSizes, gpus: int, adapters: int | None) -> float:
    return sum(offloaded(model, gpus, adapters))


def _residue(engine: EngineSizes) -> float:
    """What a sleeping engine keeps on a card: its context, its graphs, NCCL's buffers."""
    return CONTEXT + (0 if engine.eager else GRAPHS) + (NCCL if engine.tensor_parallel > 1 else 0)


def check_memory(run: RunSizes, model: ModelSizes, gpu: float, host: float | None) -> None:
    """Refuse what would fail after minutes, or hours.

    Args:
        run, model: their sizes.
        gpu: GB of a GPU.
        host: GiB of a node's memory; None: not compared.

    Raises:
        ConfigError: what is too large, the number, what there is, and the keys to change.
    """
    sums = ledger(run, model, gpu)
    for engine in (run.policy, run.repair) if run.repair else (run.policy,):
        check_engine(engine, model, sums.card)
    offload = "or set actor.fsdp_config.param_offload and optimizer_offload"
    changes = {
        "rollout": f"actor_rollout_ref.rollout.gpu_memory_utilization, {offload}",
        "repair": f"df.repair.rollout.gpu_memory_utilization, {offload}",
        "log-probabilities": f"{run.log_prob.key}={run.log_prob.tokens}",
        "update": f"{run.update.key}={run.update.tokens}, or take more GPUs (trainer.nnodes), between which the "
        f"{sums.update.states / GIB:.1f} GiB of states are divided, or a critic's offload",
    }
    for phase, wanted in sums.phases.items():
        if wanted > sums.card:
            raise ConfigError(
                f"{phase}: {wanted / GIB:.1f} GiB on a GPU that has {sums.card / GIB:.1f}: lower {changes[phase]}"
            )
    if host is not None and sums.host > host * GIB:
        raise ConfigError(
            f"a node needs {sums.host / GIB:.0f} GiB of memory and has HOST_GB={host:.0f}: {sums.engines / GIB:.0f} "
            f"pinned for weights of sleeping engines, {sums.states / GIB:.0f} pinned for states that leave the GPUs, "
            f"{sums.processes / GIB:.0f} of processes: raise tensor_model_parallel_size (fewer copies of the "
            "weights), or take more nodes (trainer.nnodes)"
        )


def check_sft_memory(one: PassSizes, model: ModelSizes, gpus: int, lora: int, gpu: float) -> PassMemory:
    """The update of supervised training, on one GPU.

    Raises:
        ConfigError: it does not fit.
    """
    memory = update_memory(one, model, gpus, lora_parameters(model, lora) if lora else None, picture_share=1.0)
    card = gpu * GIB * _REPORTED
    if memory.total + _ACTOR > card:
        raise ConfigError(
            f"update: {(memory.total + _ACTOR) / GIB:.1f} GiB on a GPU that has {card / GIB:.1f}: lower "
            f"{one.key}={one.tokens}, or take more GPUs, between which the {memory.states / GIB:.1f} GiB of states are "
            "divided"
        )
    return memory
