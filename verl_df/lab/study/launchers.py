# SPDX-License-Identifier: Apache-2.0
"""Where the launch script of a run is started: on this machine, or on a machine of a Ray cluster."""

import os
import subprocess
from collections.abc import Mapping
from typing import Protocol

from verl_df.platform.watch.parents import ending_with_this_process

# With it the run starts a Ray of its own, also where a cluster is up on its machine.
OWN_RAY = {"RAY_ADDRESS": "local"}


class Launcher(Protocol):
    """Starts a command and waits for it."""

    def __call__(self, command: list[str], variables: Mapping[str, str]) -> int:
        """Exit code of the command, with `variables` on top of the environment."""


def here(command: list[str], variables: Mapping[str, str]) -> int:
    """On this machine."""
    return subprocess.run(command, env={**ending_with_this_process(os.environ), **variables}, check=False).returncode


class OnRay:
    """As tasks of a Ray cluster, which waits until a machine has room.

    The machines share the folder that this process works in, and that of the study. A task that this process no longer
    waits for is ended by Ray, and the run with it.

    Args:
        address: of the cluster, `HOST:PORT` or `auto`.
        cpus, gpus: that a run needs.
    """

    def __init__(self, address: str, cpus: int, gpus: int) -> None:
        import ray  # seconds; most studies need none

        ray.init(address=address, log_to_driver=False)
        self._ray = ray
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_there)

    def __call__(self, command: list[str], variables: Mapping[str, str]) -> int:
        """On a machine of the cluster."""
        return self._ray.get(self._task.remote(command, dict(variables), os.getcwd()))


def _there(command: list[str], variables: dict[str, str], folder: str) -> int:
    os.chdir(folder)
    return here(command, {**OWN_RAY, **variables})
