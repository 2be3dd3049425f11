# SPDX-License-Identifier: Apache-2.0
"""The machine and its environment: what a run imports, the driver, room for shared and for pinned memory."""

import importlib
import resource
import shutil
import subprocess
import time

from verl_df import plugin
from verl_df.lab.dry_run.engine import GIB
from verl_df.lab.smoke.outcome import Outcome
from verl_df.lab.smoke.settings import Shared

_MODULES = ("torch", "transformers", "vllm", "verl", "peft", "accelerate", "pyarrow", "math_verify", "transfer_queue")
_OF_A_GPU = ("flash_attn", "flash_attn.bert_padding", "flash_attn.ops.triton.cross_entropy", "cupy")
_DRIVER = 580  # the oldest of CUDA 13, as in scripts/setup_gpu.sh
_CARD, _SHARED_MEMORY = 39 * GIB, 8 * GIB


def run(shared: Shared) -> Outcome:
    """Import everything and look at the machine.

    Raises:
        ImportError: what is missing.
        verl_df.plugin.PluginError: verl would not load verl_df.
    """
    outcome = Outcome("imports", shared.gpu)
    for name in (*_MODULES, *(_OF_A_GPU if shared.gpu else ())):
        start = time.monotonic()
        importlib.import_module(name)
        outcome.figures[f"import_{name}_seconds"] = time.monotonic() - start
    plugin.require_loaded()
    outcome.check("modules", len(outcome.figures), ">=", len(_MODULES))
    if shared.gpu:
        _check_machine(outcome)
    return outcome


def _check_machine(outcome: Outcome) -> None:
    import torch

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    driver = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    outcome.check("driver", int(driver.split(".")[0]), ">=", _DRIVER)
    outcome.check("CUDA works", (torch.ones(2, device="cuda") * 2).sum().item(), "==", 4)
    outcome.check("GiB of the card", torch.cuda.get_device_properties(0).total_memory / GIB, ">=", _CARD / GIB)
    outcome.check("a C compiler, for Triton", bool(shutil.which("cc") or shutil.which("gcc")), "==", 1)
    outcome.check("GiB of /dev/shm", shutil.disk_usage("/dev/shm").total / GIB, ">=", _SHARED_MEMORY / GIB)
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    outcome.figures["ulimit_l_gib"] = float("inf") if locked == resource.RLIM_INFINITY else locked / GIB
