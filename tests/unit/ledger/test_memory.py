# SPDX-License-Identifier: Apache-2.0
"""Peaks of processes as metrics, and in the ledger's file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.ledger.memory import KINDS, PHASES, ProcessMemory, memory_metrics
from verl_df.ledger.rows import LEDGER, Parts, step_row

BY_PHASE = st.dictionaries(st.sampled_from(PHASES), st.floats(0, 1e3))
PROCESSES = st.lists(
    st.builds(ProcessMemory, st.sampled_from(KINDS), st.integers(0, 3), st.integers(1, 99), BY_PHASE, BY_PHASE)
)


def test_hosts_are_added_up_and_of_devices_the_largest_counts() -> None:
    workers = [
        ProcessMemory("actor", 0, 10, {"log_probs": 2.0, "update": 3.0}, {"log_probs": 5.0, "update": 9.0}),
        ProcessMemory("actor", 1, 10, {"log_probs": 4.0, "update": 1.0}, {"log_probs": 6.0, "update": 8.0}),
        ProcessMemory("trainer", 0, 7, {"update": 0.5}, {}),
    ]
    assert memory_metrics(workers) == {
        "df/memory/trainer": 0.5,
        "df/memory/trainer/update": 0.5,
        "df/memory/actor": 7.0,
        "df/memory/actor/log_probs": 6.0,
        "df/memory/actor/update": 4.0,
        "df/memory/device/actor": 9.0,
        "df/memory/device/actor/log_probs": 6.0,
        "df/memory/device/actor/update": 9.0,
        "df/memory/total": 7.5,
    }
    assert memory_metrics([]) == {}


@given(PROCESSES)
def test_kinds_add_up_to_the_total(processes: list[ProcessMemory]) -> None:
    found = memory_metrics(processes)
    assert sum(found.get(f"df/memory/{kind}", 0.0) for kind in KINDS) == pytest.approx(found.get("df/memory/total", 0))
    for kind in KINDS:
        phases = [found[name] for phase in PHASES if (name := f"df/memory/{kind}/{phase}") in found]
        assert max(phases, default=0) <= found.get(f"df/memory/{kind}", 0) + 1e-9  # processes peak at their own time
        on_device = [found[name] for phase in PHASES if (name := f"df/memory/device/{kind}/{phase}") in found]
        assert found.get(f"df/memory/device/{kind}", 0) == max(on_device, default=0)


@given(PROCESSES)
def test_the_ledger_keeps_each_process(processes: list[ProcessMemory]) -> None:
    row = step_row(1, 5.0, Parts(rollout=2.0), devices=1, memory=tuple(processes))
    assert LEDGER.load(LEDGER.dump(row)) == row


def test_a_ledger_of_before_has_no_memory(tmp_path: Path) -> None:
    line = LEDGER.dump(step_row(1, 5.0, Parts(), devices=1)).replace(',"memory":[]', "")
    assert "memory" not in line and LEDGER.load(line).memory == ()
