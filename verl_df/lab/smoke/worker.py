# SPDX-License-Identifier: Apache-2.0
"""What the parts ask of a vLLM worker; vLLM makes this class a base of its worker (`worker_extension_cls`)."""

import hashlib
from typing import Any


class Probe:
    """Methods for `collective_rpc`."""

    model_runner: Any  # the worker's

    def digest(self) -> str:
        """SHA-256 of all parameters, in the order of their names."""
        import torch

        sum_of_all = hashlib.sha256()
        for name, parameter in sorted(self.model_runner.model.named_parameters()):
            sum_of_all.update(name.encode())
            sum_of_all.update(parameter.detach().contiguous().cpu().flatten().view(torch.uint8).numpy())
        return sum_of_all.hexdigest()

    def backed_up(self) -> list[int]:
        """Sizes, in bytes, of the blocks of host memory that hold the weights while the engine sleeps."""
        from vllm.device_allocator import get_mem_allocator_instance

        kept = get_mem_allocator_instance().pointer_to_data.values()
        return [data.cpu_backup_tensor.nbytes for data in kept if data.cpu_backup_tensor is not None]
