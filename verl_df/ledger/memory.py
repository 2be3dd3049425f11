# SPDX-License-Identifier: Apache-2.0
"""Peak memory of the processes of a run, by the phases of a step.

Host memory is the resident set size (RSS), of which the kernel counts the peak itself (`VmHWM`): exact, and read in
microseconds. Pages that processes share (libraries, Ray's object store) count in each that touched them, so a sum over
processes is an upper bound. The unique set size (USS) would count none twice, but the kernel keeps no peak of it, and
reading it walks through all pages.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import NonNegativeFloat, NonNegativeInt

from verl_df.io.validation import checked

PHASES = ("rollout", "repair", "log_probs", "update", "save", "weight_sync", "validation")
"""In the order of a step. `rollout` ends before the rollout engine goes to sleep, which counts in the next phase."""
PREFIX = "df/memory/"
KINDS = (
    "trainer",
    "actor",
    "reference",
    "critic",
    "rollout_engine",
    "repair_engine",
    "agent_loop",
    "reward",
    "data_queue",
)


@checked
class ProcessMemory:
    """Peaks of one process in a step, in GiB by phase; phases that the step did not have are left out.

    Attributes:
        kind: one of `KINDS`: what the process is for.
        node: of the cluster, the trainer's is 0.
        pid: on that node.
        host: resident memory, its child processes' included.
        device: allocated by torch on its device; empty where it has none, and for engines, which do not say.
    """

    kind: str
    node: NonNegativeInt
    pid: NonNegativeInt
    host: dict[str, NonNegativeFloat]
    device: dict[str, NonNegativeFloat]

    @property
    def peak(self) -> float:
        """Of host memory in the step."""
        return max(self.host.values(), default=0.0)


def memory_metrics(processes: Sequence[ProcessMemory]) -> dict[str, float]:
    """Peaks of a step, in GiB.

    Returns:
        Host memory: `df/memory/KIND/PHASE`, `df/memory/KIND` over the whole step, both of the processes of a kind added
        up, and `df/memory/total` of all kinds. Device memory: `df/memory/device/KIND/PHASE` and `df/memory/device/KIND`
        of the process with the largest peak.
    """
    found: dict[str, float] = {}
    for kind in KINDS:
        own = [one for one in processes if one.kind == kind]
        host, device = added_up(one.host for one in own), largest(one.device for one in own)
        found |= {f"{PREFIX}{kind}/{phase}": peak for phase, peak in host.items()}
        found |= {f"{PREFIX}device/{kind}/{phase}": peak for phase, peak in device.items()}
        if host:
            found[f"{PREFIX}{kind}"] = math.fsum(one.peak for one in own)
        if device:
            found[f"{PREFIX}device/{kind}"] = max(device.values())
    if processes:
        found[f"{PREFIX}total"] = math.fsum(one.peak for one in processes)
    return found


def most(steps: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The largest value of each metric over the steps of a run."""
    found: dict[str, float] = {}
    for step in steps:
        for name, value in step.items():
            found[name] = max(value, found.get(name, 0.0))
    return found


def added_up(of_processes: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sums over processes by phase, in the order of `PHASES`."""
    return {phase: math.fsum(values) for phase, values in _by_phase(of_processes)}


def largest(of_processes: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The largest of the processes by phase, in the order of `PHASES`."""
    return {phase: max(values) for phase, values in _by_phase(of_processes)}


def _by_phase(of_processes: Iterable[Mapping[str, float]]) -> Iterable[tuple[str, list[float]]]:
    rows = list(of_processes)
    known = ((phase, [row[phase] for row in rows if phase in row]) for phase in PHASES)
    return ((phase, values) for phase, values in known if values)
