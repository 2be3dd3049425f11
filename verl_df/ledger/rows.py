# SPDX-License-Identifier: Apache-2.0
"""One row of the ledger a training step: its wall time cut into parts, none of it twice and none left out.

Repairs overlap each other and, where they are streamed, the rollouts. What counts as theirs is the time in which
nothing else went on because the trainer waited for them; it is shared out among queue, decoding, judging and
alignment in proportion to the seconds that each of these took over all wrong rollouts.

Saving and validation are no part of a step: how often a run looks at itself says nothing about its method.
"""

import math
from collections.abc import Iterable
from dataclasses import fields, replace

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.ledger.memory import ProcessMemory


@checked
class Parts:
    """Seconds, or device-seconds, by what they were spent on.

    Attributes:
        rollout: sampling, with the rewards that are computed meanwhile.
        repair_queue: repairs, waiting for their turn at the repair model.
        repair_decode: repairs, being decoded.
        repair_judge: repairs, being judged.
        alignment: choosing, aligning and gating, and the rows of the optimised groups.
        log_probs: old and reference log-probabilities, and a critic's values.
        update: advantages, and the optimiser steps of actor and critic.
        weight_sync: weights to the rollout engine.
        waiting: the rest.
    """

    rollout: NonNegativeFloat = 0.0
    repair_queue: NonNegativeFloat = 0.0
    repair_decode: NonNegativeFloat = 0.0
    repair_judge: NonNegativeFloat = 0.0
    alignment: NonNegativeFloat = 0.0
    log_probs: NonNegativeFloat = 0.0
    update: NonNegativeFloat = 0.0
    weight_sync: NonNegativeFloat = 0.0
    waiting: NonNegativeFloat = 0.0

    @property
    def total(self) -> float:
        """All parts together."""
        return math.fsum(getattr(self, name) for name in NAMES)

    @property
    def repair(self) -> float:
        """Queue, decoding and judging of repairs."""
        return math.fsum((self.repair_queue, self.repair_decode, self.repair_judge))

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(**{name: getattr(self, name) + getattr(other, name) for name in NAMES})

    def __mul__(self, factor: float) -> "Parts":
        return Parts(**{name: getattr(self, name) * factor for name in NAMES})


NAMES = tuple(one.name for one in fields(Parts))


@checked
class RepairTime:
    """What the repairs of a step took.

    Attributes:
        waited: seconds in which the trainer did nothing but wait for them.
        open: seconds from the first group that was sent to the last answer; longer than `waited` where they are
            streamed.
        queue: seconds of wrong rollouts until their samples' turn, added up over the rollouts, as the next three.
        decode: of their samples.
        judge: of the samples' rewards.
        alignment: of choosing and aligning.
    """

    waited: NonNegativeFloat = 0.0
    open: NonNegativeFloat = 0.0
    queue: NonNegativeFloat = 0.0
    decode: NonNegativeFloat = 0.0
    judge: NonNegativeFloat = 0.0
    alignment: NonNegativeFloat = 0.0

    @property
    def shared(self) -> Parts:
        """The seconds of `waited` by part. Those of a step that asked for no repair are the queue's."""
        work = (self.queue, self.decode, self.judge, self.alignment)
        whole = math.fsum(work)
        queue, decode, judge, alignment = (
            (self.waited * part / whole for part in work) if whole else (self.waited, 0, 0, 0)
        )
        return Parts(repair_queue=queue, repair_decode=decode, repair_judge=judge, alignment=alignment)


@checked
class LedgerRow:
    """A training step.

    Attributes:
        step: its number.
        devices: that the trainer holds.
        repair_devices: of the repair model alone, beside them. Those behind `placement: remote` are not known.
        seconds: of wall time.
        device_seconds: the same of all devices.
        memory: peaks of the run's processes; empty where they were not looked at, as in older runs.
    """

    step: NonNegativeInt
    devices: PositiveInt
    repair_devices: NonNegativeInt
    seconds: Parts
    device_seconds: Parts
    memory: Listed[ProcessMemory] = ()


LEDGER = Lines(LedgerRow, version=1, what="a row of the ledger", optional=("memory",))


def step_row(
    step: int,
    wall: float,
    known: Parts,
    *,
    devices: int,
    repair_devices: int = 0,
    repair: RepairTime | None = None,
    memory: tuple[ProcessMemory, ...] = (),
) -> LedgerRow:
    """The row of a step.

    Args:
        step: its number.
        wall: its seconds, without saving and validation.
        known: seconds that were measured, without those of `repair`; `waiting` is ignored.
        devices: that the trainer holds.
        repair_devices: of the repair model alone: decoding while a group is `open`, waiting otherwise.
        repair: None where nothing is repaired.
        memory: peaks of the step.
    """
    repair = RepairTime() if repair is None else repair
    spent = replace(known, waiting=0.0) + repair.shared
    seconds = replace(spent, waiting=max(0.0, wall - spent.total))
    busy = min(repair.open, seconds.total)
    own = Parts(repair_decode=busy, waiting=seconds.total - busy) * repair_devices
    return LedgerRow(step, devices, repair_devices, seconds, seconds * devices + own, memory)


def total(parts: Iterable[Parts]) -> Parts:
    """All of them together."""
    return sum(parts, Parts())
