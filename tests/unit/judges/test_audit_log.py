# SPDX-License-Identifier: Apache-2.0
"""The audit log: what is written is read back, and what is broken is named by its line."""

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.judges.audit_log import AuditRecord, AuditWriter, from_json_line, read_audits, to_json_line
from verl_df.judges.failure_mode import FailureMode

VERDICTS = [(mode != FailureMode.NONE, mode.value, None) for mode in FailureMode] + [(None, None, "timeout")]


def record(**changes: Any) -> AuditRecord:
    values = {
        "id": "3-17", "step": 3, "question": "How many?", "images": ("a.png",), "response": "y", "repair": "z",
        "reference": "a", "counterfactual": None, "ground_truth": "4", "r_task": 1.0, "hacking": False,
        "failure_mode": "none", "evidence": "", "failure": None, "g_aud": 1,
    }  # fmt: skip
    return AuditRecord(**{**values, **changes})


def line_with(**changes: Any) -> str:
    return json.dumps({**json.loads(to_json_line(record())), **changes})


@given(
    st.builds(
        lambda text, numbers, verdict, step, other: record(
            question=text, evidence=text, images=tuple(numbers), step=step, counterfactual=other,
            hacking=verdict[0], failure_mode=verdict[1], failure=verdict[2],
        ),
        st.text(), st.lists(st.text()), st.sampled_from(VERDICTS), st.none() | st.integers(0), st.none() | st.text(),
    )
)  # fmt: skip
def test_a_record_is_read_back(audit: AuditRecord) -> None:
    line = to_json_line(audit)
    assert "\n" not in line
    assert from_json_line(line) == audit


def test_a_file_is_read_back_in_order_over_two_writers(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audits.jsonl"
    records = [record(id=str(number), evidence="\u2028 line \ud83d", step=None) for number in range(3)]
    with AuditWriter(path) as writer:
        writer.write(records[0])
        assert list(read_audits(path)) == records[:1]  # flushed
    with AuditWriter(path) as writer:
        for item in records[1:]:
            writer.write(item)
    assert list(read_audits(path)) == records


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "audits.jsonl"
    path.write_text(to_json_line(record(id="0")) + "\n" + to_json_line(record(id="1"))[:50])
    with pytest.raises(ValueError, match=r"audits.jsonl, line 2: "):
        list(read_audits(path))
    with AuditWriter(path) as writer:
        writer.write(record(id="2"))
    assert [item.id for item in read_audits(path)] == ["0", "2"]


def test_threads_may_share_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "audits.jsonl"
    with AuditWriter(path) as writer:
        items = [record(id=str(number), evidence="long " * 5000) for number in range(40)]
        threads = [threading.Thread(target=writer.write, args=(item,)) for item in items]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(int(item.id) for item in read_audits(path)) == list(range(40))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[]", "an audit is a JSON object, this line holds a list"),
        ("{", "Expecting property name"),
        (line_with(schema_version=2), "schema_version is 2, this reader knows 1"),
        (line_with(extra=1), r"missing keys \[\], unknown keys \['extra'\]"),
        ('{"schema_version": 1, "id": "x"}', r"missing keys \['counterfactual', "),
        (line_with(images="a.png"), "images must be a list of file names, not 'a.png'"),
        (line_with(images=[1]), "images must be a list of file names"),
        (line_with(step="3"), "step must be int or null, not '3'"),
        (line_with(hacking=0), "hacking must be bool or null, not 0"),
        (line_with(g_aud=True), "g_aud must be int, not True"),
        (line_with(g_aud=2), "g_aud is 2: 0 or 1"),
        (line_with(r_task=1.5), r"audit 3-17 has reward 1.5: give the task reward in \[0, 1\]"),
        (line_with(failure_mode="x"), "failure_mode='x' is not one of"),
        (line_with(hacking=True), "hacking=True does not go with failure_mode='none'"),
        (line_with(failure="timeout"), "an audit has either a failure, or both hacking and failure_mode"),
        (line_with(hacking=None), "either a failure, or both"),
        (line_with(hacking=None, failure_mode=None), "either a failure, or both"),
    ],
)
def test_broken_lines_are_named(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "audits.jsonl"
    path.write_text(to_json_line(record()) + "\n\n" + line + "\n")
    with pytest.raises(ValueError, match=f"audits.jsonl, line 3: .*{words}"):
        list(read_audits(path))


def test_whole_numbers_are_fine_as_rewards() -> None:
    audit = from_json_line(line_with(r_task=1))
    assert audit == record() and isinstance(audit.r_task, float)


def test_the_fields_are_the_documented_ones() -> None:
    names = [field.name for field in dataclasses.fields(AuditRecord)]
    assert list(json.loads(to_json_line(record()))) == ["schema_version", *names]
