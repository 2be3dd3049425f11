# SPDX-License-Identifier: Apache-2.0
"""A CPU as one of verl's platforms (`verl.plugin.platform`)."""

import contextlib
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

logger = logging.getLogger(__name__)


class CpuDeviceModule(ModuleType):
    """`torch.cpu` with the names of `torch.cuda` that verl uses on `get_torch_device()`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        """There is one device, no caching allocator and no peak, operations are finished when they return, and weights
        travel through shared memory.
        """

    empty_cache = ipc_collect = synchronize = set_device = _nothing
    reset_peak_memory_stats = set_per_process_memory_fraction = _nothing

    def manual_seed(self, seed: int) -> None:
        """Seed torch's CPU generator."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        """State of torch's CPU generator, uint8 (n,); a checkpoint asks for it."""
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        """Put back what `get_rng_state` returned; resuming asks for it."""
        torch.set_rng_state(state)

    def memory_allocated(self, device: Any = None) -> int:
        """Resident memory of this process, bytes."""
        return psutil.Process().memory_info().rss

    # No peak and no reserve exist; the current figure keeps verl's memory metrics meaningful.
    memory_reserved = memory_allocated
    max_memory_allocated = memory_allocated
    max_memory_reserved = memory_allocated

    def get_device_name(self, device: Any = None) -> str:
        """Name that verl's FLOP counter looks up; "CPU" makes it report no utilisation."""
        return "CPU"

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """(available, total) memory of the machine, bytes."""
        memory = psutil.virtual_memory()
        return memory.available, memory.total


class CpuDeviceId(str):
    """What `get_device_id()` returns; verl uses it in two ways that no plain value serves.

    `.to(device_id)` and `torch.device(device_id)` need "cpu" (an integer would mean a CUDA device), while
    f"{device_name}:{device_id}" needs an index, so that the result is "cpu:0".
    """

    def __new__(cls) -> "CpuDeviceId":
        return super().__new__(cls, "cpu")

    def __format__(self, spec: str) -> str:
        return "0"


class PlatformCPU(PlatformBase):
    """One CPU as the only device; Ray counts it as a GPU (`ray_kwargs.ray_init.num_gpus=1` is a stand-in)."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = CpuDeviceModule("verl_df_cpu_device")

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # auto-detection must never pick it: only VERL_PLATFORM=cpu does

    def current_device(self) -> CpuDeviceId:
        return CpuDeviceId()

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None: ...

    def synchronize(self, device_index: int | None = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"  # Ray sets it with the stand-in GPU, and verl derives worker ids from it

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False  # verl then sends weights to the rollout engine through POSIX shared memory

    def cudart(self) -> None:
        return None


def register_platform() -> None:
    """Make `VERL_PLATFORM=cpu` a name that verl knows; idempotent, and without that variable without effect."""
    if PlatformRegistry.get("cpu") is not PlatformCPU:
        PlatformRegistry.register(platform="cpu")(PlatformCPU)
