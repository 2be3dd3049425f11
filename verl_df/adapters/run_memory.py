# SPDX-License-Identifier: Apache-2.0
"""Peak memory of every process of a run, by the phases of a step, as the trainer sees them end.

The kernel counts the peaks of host memory, and torch those of device memory: nothing is sampled, and no number of the
training is touched. Where the cluster has several nodes, a small actor on each reads that node's processes.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from verl.utils.device import get_device_name, get_torch_device

from verl_df.adapters.host_memory import HostMemory
from verl_df.ledger.memory import ProcessMemory

logger = logging.getLogger(__name__)

GIB = 1 << 30
TORCH_KINDS = ("actor", "reference", "critic")  # whose device memory torch knows
_ANSWER_S = 10.0
_BEFORE = ""  # the window before a step: counted for verl's metrics only

Kinds = Mapping[str, Sequence[ActorHandle]]


class Place(NamedTuple):
    """Where a process runs. node: Ray's id."""

    node: str
    pid: int


class DevicePeaks(NamedTuple):
    """Bytes of a process's device since the peaks were last reset, as torch counts them."""

    allocated: int
    reserved: int


def named_actors(part: str) -> list[ActorHandle]:
    """The actors of this job with `part` in their name."""
    return [ray.get_actor(name) for name in ray.util.list_named_actors() if part in name]


def this_place() -> Place:
    """Of the process that calls it."""
    return Place(ray.get_runtime_context().get_node_id(), os.getpid())


def _asking_for_the_place() -> Callable[[Any], tuple[str, int]]:
    """`this_place` for any actor. Ray sends a function that has no name in a module by value: by name it would have
    every process import this module, and verl with it, which takes the processes of the data queue seconds.
    """

    def place(actor: Any) -> tuple[str, int]:
        return ray.get_runtime_context().get_node_id(), os.getpid()

    return place


def take_device_peaks(actor: Any) -> DevicePeaks:
    """Of the process of this actor, which calls it; torch then counts anew."""
    device = get_torch_device()
    peaks = DevicePeaks(device.max_memory_allocated(), device.max_memory_reserved())
    device.reset_peak_memory_stats()
    return peaks


class RunMemory:
    """Follows a run's processes: `find` them, then a step goes through `begin`, `end` of each phase and `take`.

    Args:
        processes: gives the actors of the run by kind (`ledger.memory.KINDS`); the trainer itself is not among them.
    """

    def __init__(self, processes: Callable[[], Kinds]) -> None:
        self._processes = processes
        self._found: list[tuple[str, Place, ActorHandle | None]] = []
        self._here: HostMemory | None = None
        self._far: dict[str, Any] = {}
        self._device: list[tuple[str, list[tuple[Place, Any]]]] = []
        self._lifetime: dict[Place, DevicePeaks] = {}
        self._off = False

    def begin(self) -> None:
        """A step begins: what the processes used before is none of it."""
        if self._off:
            return
        try:
            if self._here is None:
                self.find()
            self._each_node("begin")
        except OSError as error:
            self._off = True  # as in some sandboxes; training does not depend on it
            logger.warning("no metrics df/memory/*: peaks of memory cannot be reset here (%s)", error)
            return
        self._device = []
        self._ask_devices(_BEFORE)

    def end(self, phase: str) -> None:
        """A phase of the step is over."""
        if self._here is not None and not self._off:
            self._each_node("end", phase)
            self._ask_devices(phase)

    def take(self, metrics: dict[str, Any]) -> tuple[ProcessMemory, ...]:
        """The step's peaks.

        Args:
            metrics: of the step. verl's `perf/max_memory_*_gb` are peaks since the start, and torch has forgotten
                these: they are put right.
        """
        if self._here is None or self._off:
            return ()
        here = this_place().node
        hosts = {here: self._here.take(), **{node: ray.get(far.take.remote()) for node, far in self._far.items()}}
        devices = self._take_devices(metrics)
        numbers = {node: number for number, node in enumerate(hosts)}
        found = []
        for kind, place, _ in self._found:
            if place.pid in hosts[place.node]:
                host, device = hosts[place.node][place.pid], devices.get(place, {})
                found.append(ProcessMemory(kind, numbers[place.node], place.pid, _in_gib(host), _in_gib(device)))
        if len(found) < len(self._found):
            self._here = None  # somebody died, and may have been replaced: look again
        return tuple(found)

    # ---- whose memory ------------------------------------------------------------------------------------------------

    def find(self) -> None:
        """Ask each actor where it runs. Those that do not answer are left out: others look after the dead."""
        asked = [
            (kind, actor, actor.__ray_call__.remote(_asking_for_the_place()))
            for kind, actors in self._processes().items()
            for actor in actors
        ]
        answers = [reference for *_, reference in asked]
        ready, late = ray.wait(answers, num_returns=len(answers), timeout=_ANSWER_S) if answers else ([], [])
        if late:
            logger.warning("%d processes do not say where they run: their memory is not measured", len(late))
        places: dict[Place, tuple[str, ActorHandle | None]] = {this_place(): ("trainer", None)}
        for kind, actor, reference in asked:
            try:
                if reference in ready:
                    places.setdefault(Place(*ray.get(reference)), (kind, actor))  # two kinds can share a process
            except RayActorError:
                continue
        self._found = [(kind, place, actor) for place, (kind, actor) in places.items()]
        by_node: dict[str, list[int]] = {}
        for place in places:
            by_node.setdefault(place.node, []).append(place.pid)
        self._here = HostMemory(by_node.pop(this_place().node))
        self._far = {node: _far_memory(node, pids) for node, pids in by_node.items()}

    def _each_node(self, call: str, *arguments: str) -> None:
        """Call a method of `HostMemory` on every node, without waiting for the others."""
        for far in self._far.values():
            getattr(far, call).remote(*arguments)
        getattr(self._here, call)(*arguments)

    # ---- devices -----------------------------------------------------------------------------------------------------

    def _ask_devices(self, phase: str) -> None:
        """Ask for the peaks of a window: a worker answers between what it did before and what it does next."""
        if get_device_name() == "cpu":
            return  # torch keeps no peak there
        asked = [
            (place, actor.__ray_call__.remote(take_device_peaks))
            for kind, place, actor in self._found
            if kind in TORCH_KINDS and actor is not None
        ]
        self._device.append((phase, asked))

    def _take_devices(self, metrics: dict[str, Any]) -> dict[Place, dict[str, int]]:
        """Bytes allocated at the peak of each phase."""
        found: dict[Place, dict[str, int]] = {}
        kinds = {place: kind for kind, place, _ in self._found}
        for phase, asked in self._device:
            if phase == "update":
                self._put_right(metrics, kinds)
            for (place, _), peaks in zip(asked, ray.get([answer for _, answer in asked]), strict=True):
                before = self._lifetime.get(place, DevicePeaks(0, 0))
                self._lifetime[place] = DevicePeaks(*map(max, before, peaks))
                if phase != _BEFORE:
                    own = found.setdefault(place, {})
                    own[phase] = max(own.get(phase, 0), peaks.allocated)
        return found

    def _put_right(self, metrics: dict[str, Any], kinds: Mapping[Place, str]) -> None:
        """verl read its peaks in the update: with those before it they are what verl alone would have reported."""
        for kind in ("actor", "critic"):
            own = [peaks for place, peaks in self._lifetime.items() if kinds.get(place) == kind] or [
                peaks for place, peaks in self._lifetime.items() if kinds.get(place) == "actor"
            ]
            for what in DevicePeaks._fields:
                name = f"{kind}/perf/max_memory_{what}_gb"
                if name in metrics and own:
                    metrics[name] = max(metrics[name], max(getattr(peaks, what) for peaks in own) / GIB)


def _far_memory(node: str, pids: Sequence[int]) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(HostMemory).options(num_cpus=0, scheduling_strategy=there).remote(pids)


def _in_gib(by_phase: Mapping[str, int]) -> dict[str, float]:
    return {phase: round(size / GIB, 4) for phase, size in by_phase.items()}
