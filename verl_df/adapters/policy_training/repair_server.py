# SPDX-License-Identifier: Apache-2.0
"""The repair model's inference engine: rollout replicas of their own, on the actor's devices.

verl's hybrid engine puts the policy's rollout replicas on the actor's devices and lets them sleep while the actor
trains. The repair replicas share those devices in the same way: asleep during rollout and update, awake only for the
repair phase. The repair model is frozen while the policy trains, so it never needs a weight sync.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

from omegaconf import DictConfig, OmegaConf, open_dict
from verl.single_controller.ray.base import RayResourcePool, split_resource_pool
from verl.workers.rollout.llm_server import LLMServerClient
from verl.workers.rollout.replica import get_rollout_replica_class
from verl.workers.rollout.router import get_router_handle

from verl_df.adapters.policy_training.engine_counters import EngineCounters
from verl_df.settings.config import RepairConfig
from verl_df.settings.speculation import speculate

# Two engines with one seed would draw the same random numbers.
SEED_OFFSET = 7919
# Room for the words of the prompt template around question, response and reference.
TEMPLATE_TOKENS = 256


def repair_prompt_length(wanted: int | None, prompt: int, response: int) -> int:
    """Limit of a repair prompt, in tokens: `df.repair.max_prompt_length`, or room for the prompt and two responses."""
    return wanted or prompt + 2 * response + TEMPLATE_TOKENS


def repair_run_config(config: DictConfig, repair: RepairConfig) -> DictConfig:
    """The run's config as the repair engine should see it.

    `actor_rollout_ref.model` is reduced to the repair model's path, `actor_rollout_ref.rollout` is the policy's with
    the lengths of repair prompts, the weights loaded from disk, the overrides of `df.repair.rollout` on top, and the
    speculation of `df.repair.speculation`.

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
    config.actor_rollout_ref.model = OmegaConf.create(
        {
            "_target_": "verl.workers.config.HFModelConfig",
            "path": repair.path,
            "trust_remote_code": config.actor_rollout_ref.model.get("trust_remote_code", False),
            "override_config": config.actor_rollout_ref.model.get("override_config", {}),
        }
    )
    return config


class RepairServer:
    """Rollout replicas that serve the repair model on the actor's resource pool.

    Args:
        config: the whole run's config.
        repair: the `df.repair` block.
        resource_pool: the pool on which the actor's workers run.
    """

    def __init__(self, config: DictConfig, repair: RepairConfig, resource_pool: RayResourcePool):
        self.config = repair_run_config(config, repair)
        rollout, model = self.config.actor_rollout_ref.rollout, self.config.actor_rollout_ref.model
        with open_dict(rollout):
            rollout.n_gpus_per_node = config.trainer.n_gpus_per_node
        size = rollout.tensor_model_parallel_size * rollout.data_parallel_size * rollout.pipeline_model_parallel_size
        pools = split_resource_pool(resource_pool, split_size=size)
        replica_class = get_rollout_replica_class(rollout.name)
        self._replicas = [
            replica_class(
                replica_rank=rank,
                config=rollout,
                model_config=model,
                gpus_per_node=config.trainer.n_gpus_per_node,
                name_suffix="df_repair",
            )
            for rank in range(len(pools))
        ]
        _run([replica.init_colocated(pool) for replica, pool in zip(self._replicas, pools, strict=True)])
        handles = {replica.server_address: replica.server_handle for replica in self._replicas}
        self._router = get_router_handle(servers=handles, router_config_path=rollout.get("router_config_path"))
        self._counters = EngineCounters(handles) if repair.speculation != "off" else None
        self._sleep()

    def metrics(self) -> dict[str, float]:
        """What the engines counted since the last call, `df/repair/*`; nothing without speculation."""
        return self._counters.metrics() if self._counters else {}

    @property
    def client(self) -> LLMServerClient:
        """Token-in, token-out client; travels to other Ray processes."""
        return LLMServerClient(config=self.config, load_balancer_handle=self._router)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Weights and KV cache on the device inside the block, off it outside (where the engine can sleep)."""
        _run([replica.wake_up() for replica in self._replicas])
        try:
            yield
        finally:
            self._sleep()

    def _sleep(self) -> None:
        _run([replica.sleep() for replica in self._replicas])


def _run(coroutines: list[Coroutine]) -> None:
    async def gather() -> None:
        await asyncio.gather(*coroutines)

    asyncio.run(gather())
