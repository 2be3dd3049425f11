# SPDX-License-Identifier: Apache-2.0
"""Records as JSON lines, of every kind: what is written is read back, what is broken is named by its line."""

import json
import threading
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.io.lines import Lines
from verl_df.judges.audit_log import AUDITS
from verl_df.lab.audit.labels import LABELS
from verl_df.lab.repair_data.annotations import ANNOTATIONS
from verl_df.lab.repair_data.choose import COUNTS
from verl_df.lab.repair_data.records import SAMPLES
from verl_df.method.records import PAIRS

# A line of each format as its first version wrote it.
SIDE = '{"token_ids":[1,2],"tokens":["a"," b"],"mask":[0,1],"gate":[0.0,0.3333],"reward":0.0}'
WRITTEN: list[tuple[Lines, str]] = [
    (
        PAIRS,
        '{"schema_version":1,"step":3,"uid":"u1","prompt":"How many?\\n","images":["0001.png"],"ground_truth":"6",'
        f'"reference":"row1: 6 ☃\u2028","reference_kind":"sibling","error":{SIDE},"repair":{SIDE},"edit_distance":1,'
        '"edit_ratio":0.5,"truth_mask":[0,1],"rejections":[null,"wrong"]}',
    ),
    (
        AUDITS,
        '{"schema_version":1,"id":"3-17","step":3,"question":"How many?","images":["a.png"],"response":"y",'
        '"repair":"z","reference":"a","counterfactual":null,"ground_truth":"4","r_task":1.0,"hacking":true,'
        '"failure_mode":"template_shortcut","evidence":"so \\ud83d","failure":null,"g_aud":0}',
    ),
    (
        LABELS,
        '{"schema_version": 1, "id": "3-17", "hacking": true, "failure_mode": "template_shortcut", '
        '"stratum": "flagged", "weight": 2.5}',
    ),
    (
        SAMPLES,
        '{"schema_version": 1, "id": "0f", "prompt_index": 7, "data_source": "geo", "prompt": [{"role": "user", '
        '"content": "<image>How many?"}], "images": ["7.png"], "ground_truth": 4, "extra_info": {"index": 0}, '
        '"response": "y", "response_ids": [1, 2], "reference": "☃", "reference_kind": "answer", "target": "z"}',
    ),
    (
        COUNTS,
        '{"prompt_index": 0, "right": 1, "wrong": 2, "truncated": 3, "duplicate": 4, "no_reference": 5, '
        '"text_samples": 6, "text_right": 7, "dropped_by_text": 8, "kept": 9}',
    ),
    (ANNOTATIONS, '{"id": "0f", "question": "How many?", "target": "z", "skip": false, "note": ""}'),
]
FORMATS = pytest.mark.parametrize(("format", "line"), WRITTEN, ids=[type(f.load(t)).__name__ for f, t in WRITTEN])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@FORMATS
def test_what_earlier_versions_wrote_is_read_and_written_again(format: Lines, line: str, tmp_path: Path) -> None:
    record = format.load(line)
    kept = {name: value for name, value in json.loads(line).items() if name != "question" or format is AUDITS}
    kept |= {"key": ""} if format is PAIRS else {}  # which came later
    assert json.loads(format.dump(record)) == kept
    assert list(json.loads(format.dump(record))) == list(kept)  # the version first, then the fields in their order
    assert "\n" not in format.dump(record)
    path = tmp_path / "deep" / "records.jsonl"
    with format.writer(path) as writer:
        writer.write(record)
        assert list(format.read(path)) == [record]  # flushed
    with format.writer(path) as writer:
        writer.write(record)
    assert list(format.read(path)) == [record] * 2
    format.write(path, [record] * 3)
    assert list(format.read(path)) == [record] * 3


@FORMATS
def test_broken_lines_are_named(format: Lines, line: str, tmp_path: Path) -> None:
    content, path = json.loads(line), tmp_path / "records.jsonl"
    optional = {"skip", "note"}
    names = [name for name in content if name != "question" or format is AUDITS]
    broken = {
        "{": "Expecting property name",
        "[]": "is a JSON object, this line holds a list",
        line[:-1]: "Expecting ',' delimiter",
        json.dumps({**content, names[-1] + "s": 1}): f"unknown key '{names[-1]}s'; did you mean '{names[-1]}'?",
    }
    for name in set(names) - {"schema_version"} - (optional if format is ANNOTATIONS else set()):
        broken[json.dumps({key: content[key] for key in content if key != name})] = f"missing key '{name}'"
    if "schema_version" in content:
        broken[json.dumps({**content, "schema_version": 2})] = "schema_version is 2, this reader knows 1"
        del content["schema_version"]
        broken[json.dumps(content)] = "schema_version is None, this reader knows 1"
    for text, message in broken.items():
        path.write_text(f"{line}\n\n{text}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="records.jsonl, line 3: ") as refused:
            list(format.read(path))
        assert message in str(refused.value)


@FORMATS
@given(st.data())
def test_a_value_is_kept_as_it_is_or_refused(format: Lines, line: str, data: st.DataObject) -> None:
    content = json.loads(line)
    record = format.load(line)
    name = data.draw(st.sampled_from([one.name for one in fields(record)]))
    value = data.draw(JUNK)
    try:
        read = format.load(json.dumps({**content, name: value}))
    except ValueError as error:
        assert "\n" not in str(error)
        return
    # nothing was converted but a whole number to a float
    kept = json.loads(json.dumps(asdict(read)[name]))
    assert json.dumps(kept) == json.dumps(float(value) if type(kept) is float and type(value) is int else value)
    if isinstance(value, bool) and name not in ("ground_truth",):
        assert bool in (hint := get_type_hints(type(record))[name], *getattr(hint, "__args__", ()))


def with_text(record: Any, text: str) -> Any:
    """The record with a text in all fields that are one and nothing else."""
    hints = get_type_hints(type(record))
    return replace(record, **{name: text for name, hint in hints.items() if hint in (str, str | None)})


@pytest.mark.parametrize(("format", "line"), [one for one in WRITTEN if one[0] is not COUNTS and one[0] is not AUDITS])
@given(st.text(st.characters()))
def test_any_text_survives(format: Lines, line: str, text: str) -> None:
    record = with_text(format.load(line), text)
    assert format.load(format.dump(record)) == record


def test_nan_is_written_where_values_are_free() -> None:
    pair, _, _, sample, _, _ = (format.load(line) for format, line in WRITTEN)
    line = SAMPLES.dump(replace(sample, extra_info={"share": float("nan")}))
    assert '"share":NaN' in line and SAMPLES.dump(SAMPLES.load(line)) == line
    with pytest.raises(ValueError, match="edit_ratio=nan: must be a finite number"):
        replace(pair, edit_ratio=float("nan"))


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    path, line = tmp_path / "records.jsonl", WRITTEN[2][1]
    path.write_text(f"{line}\n{line[:50]}")
    with pytest.raises(ValueError, match="records.jsonl, line 2: "):
        list(LABELS.read(path))
    with LABELS.writer(path) as writer:
        writer.write(replace(LABELS.load(line), id="2"))
    assert [label.id for label in LABELS.read(path)] == ["3-17", "2"]


def test_threads_may_share_a_writer(tmp_path: Path) -> None:
    path, record = tmp_path / "records.jsonl", LABELS.load(WRITTEN[2][1])
    with LABELS.writer(path) as writer:
        items = [replace(record, id=f"{number} {'long ' * 5000}") for number in range(40)]
        threads = [threading.Thread(target=writer.write, args=(item,)) for item in items]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(int(label.id.split()[0]) for label in LABELS.read(path)) == list(range(40))
