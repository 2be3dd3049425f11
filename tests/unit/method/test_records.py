# SPDX-License-Identifier: Apache-2.0
"""Pair records: round trip and lines that cannot be read."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method.records import PairRecord, PairWriter, TokenSide, from_json_line, read_records, to_json_line


def side(tokens, mask, reward):
    return TokenSide.from_arrays(
        list(range(len(tokens))), tokens, np.array(mask, dtype=bool), np.array(mask, dtype=np.float32), reward
    )


PAIR = PairRecord(
    step=3,
    uid="u1",
    prompt="How many red shapes?\n",
    images=("0001.png",),
    ground_truth="6",
    reference="row1: 6 ☃\u2028",
    reference_kind="sibling",
    error=side(["a", " b", "\n"], [0, 1, 0], 0.0),
    repair=side(["a", " c", "\n"], [0, 1, 0], 1.0),
    edit_distance=1,
    edit_ratio=1 / 3,
    truth_mask=(0, 1, 0),
    rejections=(None, "wrong"),
)
INFEASIBLE = replace(PAIR, repair=None, edit_distance=None, edit_ratio=None, truth_mask=None, rejections=("wrong",) * 2)


def test_sides_from_arrays():
    made = TokenSide.from_arrays(np.array([5, 6]), ["a", "b"], np.array([True, False]), np.float32([1 / 3, 0]), 0)
    assert made == TokenSide((5, 6), ("a", "b"), (1, 0), (0.3333, 0.0), 0.0)


@pytest.mark.parametrize("record", [PAIR, INFEASIBLE])
def test_round_trip(record):
    line = to_json_line(record)
    assert "\n" not in line and json.loads(line)["schema_version"] == 1
    assert from_json_line(line) == record


@given(st.text(), st.lists(st.text(max_size=3), max_size=5))
def test_any_text_survives(prompt, tokens):
    record = replace(PAIR, prompt=prompt, error=side(tokens, [0] * len(tokens), 0.5), truth_mask=None)
    assert from_json_line(to_json_line(record)) == record


def test_writer_appends_and_flushes(tmp_path):
    path = tmp_path / "deep" / "pairs.jsonl"
    with PairWriter(path) as writer:
        writer.write(PAIR)
        assert list(read_records(path)) == [PAIR]  # before closing
    with PairWriter(path) as writer:
        writer.write(INFEASIBLE)
    assert list(read_records(path)) == [PAIR, INFEASIBLE]


def without(key):
    return {name: value for name, value in json.loads(to_json_line(PAIR)).items() if name != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "line 3: Expecting property name"),
        ("[1]", "a JSON object, this line holds a list"),
        (json.dumps(without("schema_version")), "schema_version is None, this reader knows 1"),
        (json.dumps({**without("uid"), "schema_version": 2}), "schema_version is 2"),
        (json.dumps(without("uid")), r"missing keys \['uid'\]"),
        (json.dumps(without("error")), r"missing keys \['error'\]"),
        (json.dumps({**without(""), "colour": 1}), r"unknown keys \['colour'\]"),
        (json.dumps({**without(""), "error": {"tokens": []}}), r"error: missing keys \['gate', 'mask'"),
        (json.dumps({**without(""), "error": None}), "error must be a JSON object, not a NoneType"),
        (json.dumps({**without(""), "truth_mask": [1]}), "truth_mask has 1 entries for 3 tokens"),
        (json.dumps({**without(""), "reference_kind": "sib"}), "did you mean 'sibling'"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{to_json_line(PAIR)}\n\n{content}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="pairs.jsonl, line 3: ") as raised:
        list(read_records(path))
    assert raised.match(message)


def test_records_are_checked():
    with pytest.raises(ValueError, match="mask has 1 entries for 2 tokens"):
        TokenSide((1, 2), ("a", "b"), (1,), (1.0, 0.0), 0.0)
    with pytest.raises(ValueError, match="given together"):
        replace(PAIR, repair=None)
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json_line(replace(PAIR, edit_ratio=float("nan")))
