# SPDX-License-Identifier: Apache-2.0
"""What verl 0.9.1 and torch need beyond a registered platform to run on a CPU; one function per reason.

Each patch waits for the import of the module it changes (`wrapt.when_imported`): loading the plugin costs nothing.
"""

import functools
import logging
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from wrapt import when_imported

from verl_df.platform import rollout_cpu
from verl_df.platform.patching import replace_everywhere
from verl_df.platform.warm import ray_worker

logger = logging.getLogger(__name__)

# Seconds between two looks of the trainer into its replay buffer. verl's default is 2.0, and no key sets it.
POLL_INTERVAL = 0.05


def select_engine() -> None:
    """Ask verl's `EngineRegistry` for the FSDP engine, which is registered for "cuda" and "npu" only.

    Without it the first worker ends with "No engine registered for device='cpu'".

    Raises:
        ValueError: `VERL_ENGINE_DEVICE` is set to anything but "cuda".
    """
    device = os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    if device != "cuda":
        raise ValueError(f"VERL_PLATFORM=cpu needs VERL_ENGINE_DEVICE=cuda or unset, not {device!r}: see select_engine")


def patch_process_group(distributed: ModuleType) -> None:
    """`verl.utils.distributed`: build the process group as "cpu:gloo,cuda:gloo".

    verl asks for f"cpu:gloo,{device_name}:{backend}". Without the patch that is "cpu:gloo,cpu:gloo", which torch
    refuses as a duplicate. Only the two functions that build process groups use the name in that module.
    """
    distributed.get_device_name = lambda: "cuda"


def patch_offload_policy(fsdp_utils: ModuleType) -> None:
    """`verl.utils.fsdp_utils`: FSDP2's `CPUOffloadPolicy` without pinned memory.

    verl asks for pinned memory in its forward-only engine (the reference model). Without the patch: "Found no NVIDIA
    driver on your system", since pinning needs one.
    """
    original = fsdp_utils.CPUOffloadPolicy
    replace_everywhere(fsdp_utils, "CPUOffloadPolicy", lambda pin_memory=False: original(pin_memory=False))


def patch_module_states_check(init_utils: ModuleType) -> None:
    """`torch.distributed.fsdp._init_utils`: let FSDP1 broadcast CPU parameters at its start.

    Without the patch: "The module has CPU parameters or buffers when `sync_module_states=True`", which gloo can
    broadcast.
    """
    replace_everywhere(init_utils, "_check_module_states_for_sync_module_states", lambda module_states: None)


def patch_packed_attention(monkey_patch: ModuleType) -> None:
    """`verl.models.transformers.monkey_patch`: keep transformers' own attention when padding is removed.

    verl swaps in a forward that calls flash-attn, which has no CPU version. Without the patch `use_remove_padding=True`
    ends in a NameError in the first forward. Transformers' sdpa attention masks packed sequences by their position ids.
    """
    original = monkey_patch.apply_monkey_patch

    @functools.wraps(original)
    def apply_monkey_patch(model: Any, *args: Any, **kwargs: Any) -> Any:
        # verl passes everything by name; a positional use_remove_padding would raise here instead of slipping through.
        return original(model, *args, **{**kwargs, "use_remove_padding": False})

    replace_everywhere(monkey_patch, "apply_monkey_patch", apply_monkey_patch)


def patch_poll_interval(replay_buffer: ModuleType) -> None:
    """`verl.trainer.ppo.v1.replay_buffer`: look for finished rollouts every `POLL_INTERVAL` seconds.

    A toy step lasts 2 to 4 seconds. Without the patch up to two of them pass asleep after the rollouts are done.
    """
    original = replay_buffer.ReplayBuffer.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, poll_interval: float = POLL_INTERVAL, **kwargs: Any) -> None:
        original(self, *args, poll_interval=poll_interval, **kwargs)

    replay_buffer.ReplayBuffer.__init__ = __init__


def patch_weight_sockets(transfer: ModuleType) -> None:
    """`verl.workers.rollout.vllm_rollout.bucketed_weight_transfer`: a socket name of its own for every run.

    verl names the sockets of the weight sync after Ray's job id, which is the same for the first job of every cluster.
    Without the patch the weights of two runs on one machine meet. Ray gives its workers, and through them vLLM's, the
    process id of their raylet.
    """
    for end in (transfer.BucketedWeightSender, transfer.BucketedWeightReceiver):
        end.__init__ = _with_own_socket(end.__init__)


def _with_own_socket(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, zmq_handle: str, *args: Any, **kwargs: Any) -> None:
        original(self, zmq_handle.replace("-zmq-", f"-zmq-{os.environ['RAY_RAYLET_PID']}-"), *args, **kwargs)

    return __init__


PATCHES = {
    "verl.utils.distributed": patch_process_group,
    "verl.utils.fsdp_utils": patch_offload_policy,
    "torch.distributed.fsdp._init_utils": patch_module_states_check,
    "verl.models.transformers.monkey_patch": patch_packed_attention,
    "verl.trainer.ppo.v1.replay_buffer": patch_poll_interval,
    "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer": patch_weight_sockets,
    **rollout_cpu.PATCHES,
}


@functools.cache
def apply() -> None:
    """Apply all of `PATCHES`, and that of warm starts where the run uses them, once per process.

    Call only where the CPU platform is requested.

    Raises:
        ValueError: see `select_engine`.
    """
    select_engine()
    if torch.cuda.is_available():
        logger.warning("VERL_PLATFORM=cpu: running on the CPU although this machine has a GPU; unset it to use the GPU")
    for module_name, patch in PATCHES.items():
        when_imported(module_name)(patch)
    if os.environ.get("VERL_DF_PYTHON"):
        when_imported("ray._private.ray_constants")(ray_worker.patch_ray_constants)
