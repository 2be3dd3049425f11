# SPDX-License-Identifier: Apache-2.0
"""A step's parts are its wall time, whatever was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.ledger.rows import NAMES, Parts, RepairTime, step_row

SECONDS = st.floats(0, 1e5)
KNOWN = st.builds(Parts, **{name: SECONDS for name in NAMES if not name.startswith("repair")})
REPAIRS = st.builds(
    RepairTime, waited=SECONDS, open=SECONDS, queue=SECONDS, decode=SECONDS, judge=SECONDS, alignment=SECONDS
)


@given(KNOWN, REPAIRS, SECONDS, st.integers(1, 64), st.integers(0, 64))
def test_the_parts_are_the_wall_time(known: Parts, repair: RepairTime, rest: float, devices: int, own: int) -> None:
    measured = known.total - known.waiting + repair.waited
    row = step_row(3, measured + rest, known, devices=devices, repair_devices=own, repair=repair)
    assert row.seconds.total == pytest.approx(measured + rest)
    assert row.seconds.waiting == pytest.approx(rest, abs=1e-6 * (1 + measured))
    assert row.device_seconds.total == pytest.approx((measured + rest) * (devices + own))
    assert row.seconds.repair + row.seconds.alignment == pytest.approx(known.alignment + repair.waited)


def test_the_wait_for_repairs_is_shared_out_by_what_they_did() -> None:
    repair = RepairTime(waited=8, open=20, queue=1, decode=20, judge=10, alignment=1)
    row = step_row(1, 40, Parts(rollout=20, alignment=0.5), devices=2, repair_devices=3, repair=repair)
    seconds = row.seconds
    assert (seconds.repair_queue, seconds.repair_decode, seconds.repair_judge) == (0.25, 5, 2.5)
    assert seconds.alignment == 0.5 + 0.25 and seconds.waiting == 40 - 28.5
    # the repair model's own devices decode while a group is open, 20 of the 40 seconds
    assert row.device_seconds.repair_decode == 2 * 5 + 3 * 20
    assert row.device_seconds.waiting == 2 * seconds.waiting + 3 * 20


def test_a_step_that_asks_for_no_repair() -> None:
    assert RepairTime(waited=2.0, open=2.0).shared == Parts(repair_queue=2.0)
    assert step_row(1, 5.0, Parts(rollout=5.0), devices=1).seconds == Parts(rollout=5.0)


def test_clocks_that_do_not_agree_leave_no_negative_rest() -> None:
    assert step_row(1, 4.9, Parts(rollout=5.0), devices=1).seconds.waiting == 0
