# SPDX-License-Identifier: Apache-2.0
"""Stock verl on a machine without an accelerator, for tests and small studies.

Nothing here takes effect unless the environment says `VERL_PLATFORM=cpu`, except what mends faults that GPUs see too:
`position_ids`, `internvl`, `root_logger`, `video_files` and `video_positions`. This file imports nothing heavy: vLLM's
workers load it as well.

A pass on this platform says nothing about CUDA IPC, real sleep and wake, flash attention or NCCL.
"""

import os


def cpu_requested() -> bool:
    """Whether `VERL_PLATFORM` names the CPU platform (verl reads the variable the same way: stripped, lower case)."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def register() -> None:
    """Register the platform "cpu" with verl; on request (`cpu_requested`) also patch verl to run on it.

    Idempotent. Without the request the registration changes nothing: the platform never answers verl's auto-detection.
    A request is honoured where a GPU is present, too (a warning says so): nobody sets the variable by accident.

    Raises:
        ValueError: the CPU platform is requested and `VERL_ENGINE_DEVICE` names another engine than "cuda".
    """
    from verl_df.platform import cpu, verl_cpu

    cpu.register_platform()
    if cpu_requested():
        verl_cpu.apply()
