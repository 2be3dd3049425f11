# SPDX-License-Identifier: Apache-2.0
"""The repair model's inference engine: rollout replicas of its own.

The repair model is frozen while the policy trains, so it never needs a weight sync.
"""

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf, open_dict
from ray.actor import ActorHandle
from verl.single_controller.ray.base import RayResourcePool, split_resource_pool
from verl.workers.rollout.llm_server import LLMServerClient
from verl.workers.rollout.replica import RolloutReplica, get_rollout_replica_class
from verl.workers.rollout.router import get_router_handle

from verl_df.adapters.policy_training.engine_counters import EngineCounters
from verl_df.adapters.policy_training.repair_client import EngineRepairModel
from verl_df.adapters.policy_training.replicas import LivingReplicas
from verl_df.adapters.policy_training.unanswered import SilentSteps
from verl_df.settings.config import RepairConfig
from verl_df.settings.placement_checks import repair_prompt_length
from verl_df.settings.speculation import speculate

# Two engines with one seed would draw the same random numbers.
SEED_OFFSET = 7919

ENGINE_NAME = "df_repair"  # in the names of its actors


def repair_run_config(config: DictConfig, repair: RepairConfig) -> DictConfig:
    """The run's config as the repair engine should see it.

    `actor_rollout_ref.model` is reduced to the repair model's path, or the policy's where no repair model is named;
    `actor_rollout_ref.rollout` is the policy's with the lengths of repair prompts, the weights loaded from disk, the
    overrides of `df.repair.rollout` on top, and the speculation of `df.repair.speculation`.

    Raises:
        omegaconf.errors.ConfigKeyError: `df.repair.rollout` names a key that verl's rollout block does not have.
    """
    config = DictConfig(OmegaConf.to_container(config, resolve=True))
    rollout = config.actor_rollout_ref.rollout
    response_length = rollout.response_length
    prompt_length = repair_prompt_length(repair.max_prompt_length, rollout.prompt_length, response_length)
    rollout.update(
        # the actor's engine starts from dummy weights and waits for a sync; this one reads the folder
        load_format="auto",
        seed=rollout.seed + SEED_OFFSET,
        prompt_length=prompt_length,
        max_model_len=prompt_length + response_length,
        calculate_log_probs=False,
        temperature=rollout.temperature if repair.temperature is None else repair.temperature,
        top_p=repair.top_p,
    )
    OmegaConf.set_struct(rollout, True)
    OmegaConf.set_struct(rollout.engine_kwargs, False)  # free: the engine knows its own keys
    config.actor_rollout_ref.rollout = OmegaConf.merge(rollout, repair.rollout)
    speculate(config.actor_rollout_ref.rollout, repair.speculation)
    policy = config.actor_rollout_ref.model
    config.actor_rollout_ref.model = OmegaConf.create(
        {
            "_target_": "verl.workers.config.HFModelConfig",
            "path": repair.path or policy.path,
            "tokenizer_path": None if repair.path else policy.get("tokenizer_path"),
            "trust_remote_code": policy.get("trust_remote_code", False),
            "override_config": policy.get("override_config", {}),
        }
    )
    return config


@dataclass(frozen=True)
class EngineConnection:
    """A `Connection` to rollout replicas of verl's.

    Attributes:
        config: as `repair_run_config` makes it, pickled: it goes with every group, and pickling it takes longer than a
            short repair.
        router: verl's load balancer of the replicas.
    """

    config: bytes
    router: ActorHandle

    @classmethod
    def to(cls, config: DictConfig, router: ActorHandle) -> "EngineConnection":
        """The connection to the replicas behind this router."""
        return cls(pickle.dumps(config), router)

    def open(self, repair: RepairConfig, max_concurrency: int) -> EngineRepairModel:
        """See `Connection`."""
        return EngineRepairModel(LLMServerClient(pickle.loads(self.config), self.router), repair, max_concurrency)


class RepairServer:
    """Rollout replicas that serve the repair model.

    Args:
        config: the whole run's config.
        repair: the `df.repair` block.
        resource_pool: the pool on which they run, which the actor's workers may share.
        gpus_per_node: of the pool.
        name: of the replicas among Ray's actors, with `ENGINE_NAME` in it.
    """

    def __init__(
        self, config: DictConfig, repair: RepairConfig, resource_pool: RayResourcePool, gpus_per_node: int, name: str
    ):
        self.config = repair_run_config(config, repair)
        rollout, model = self.config.actor_rollout_ref.rollout, self.config.actor_rollout_ref.model
        with open_dict(rollout):
            rollout.n_gpus_per_node = gpus_per_node
        size = rollout.tensor_model_parallel_size * rollout.data_parallel_size * rollout.pipeline_model_parallel_size
        pools = split_resource_pool(resource_pool, split_size=size)
        replica_class = get_rollout_replica_class(rollout.name)
        replicas = [
            replica_class(
                replica_rank=rank,
                config=rollout,
                model_config=model,
                gpus_per_node=gpus_per_node,
                name_suffix=name,
            )
            for rank in range(len(pools))
        ]
        asyncio.run(_started(replicas, pools))
        handles = {replica.server_address: replica.server_handle for replica in replicas}
        self._router = get_router_handle(servers=handles, router_config_path=rollout.get("router_config_path"))
        self._replicas = LivingReplicas(replicas, self._router, repair.timeout_s)
        self._silent = SilentSteps(f"the repair engine ({name})")
        self._counts_drafts = repair.speculation != "off"
        self._read_counters()

    def metrics(self) -> dict[str, float]:
        """Since the last call: `df/repair/restarts`, and with speculation what else the engines counted, but for those
        that were started anew.
        """
        restarts, self._replicas.restarts = self._replicas.restarts, 0
        if restarts:
            self._read_counters()  # of other servers, which count from zero
        counted = self._counters.metrics() if self._counters else {}
        return {"df/repair/restarts": float(restarts), **counted}

    def _read_counters(self) -> None:
        self._counters = EngineCounters(self._replicas.addresses) if self._counts_drafts else None

    @property
    def connection(self) -> EngineConnection:
        """The way to the replicas."""
        return EngineConnection.to(self.config, self._router)

    def wake_up(self) -> None:
        """Take weights and KV cache onto the device. Raises: as `LivingReplicas.ask`, and so do the others."""
        self._replicas.ask(lambda replica: replica.wake_up())

    def sleep(self) -> None:
        """Take them off it."""
        self._replicas.ask(lambda replica: replica.sleep())

    def settle(self, asked: int, unanswered: int) -> None:
        """See `Placement`. What is still decoded for rollouts that were given up is ended, wherever it can be."""
        if unanswered:
            self._replicas.ask(_end_requests)
        self._silent.count(asked, unanswered)


async def _started(replicas: Sequence[RolloutReplica], pools: Sequence[RayResourcePool]) -> None:
    await asyncio.gather(*(replica.init_colocated(pool) for replica, pool in zip(replicas, pools, strict=True)))


async def _end_requests(replica: RolloutReplica) -> None:
    await replica.abort_all_requests()
    await replica.resume_generation()
