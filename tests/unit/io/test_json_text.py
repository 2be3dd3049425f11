# SPDX-License-Identifier: Apache-2.0
"""JSON of others: a value, or one line that says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.io.files import read_object
from verl_df.io.json_lines import read_lines
from verl_df.io.json_text import MAX_DEPTH, json_object, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_it_is_json(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value


@pytest.mark.parametrize("pattern", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 2000, 100_000])
def test_deep_json_is_refused(pattern: str, levels: int, tmp_path: Path) -> None:
    closing = pattern.translate({ord("["): "]", ord("{"): "}", ord('"'): None, ord("a"): None, ord(":"): None})[::-1]
    text = pattern * levels + "1" + closing * levels
    for broken in (text, pattern * levels):
        with pytest.raises(ValueError):
            parse_json(broken)
    path = tmp_path / "deep.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"deep\.json: not JSON: JSON nested in more than 100 levels"):
        read_object(path)
    with pytest.raises(ValueError, match=r"deep\.json, line 1: JSON nested in more than 100 levels"):
        list(read_lines(path, parse_json))


def test_brackets_in_texts_and_beside_each_other_are_no_levels() -> None:
    flat: list[Any] = ["[" * 5000, *([[]] * 5000)]
    assert parse_json(json.dumps(flat)) == flat
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(deepest)) == deepest


def test_what_is_no_object_is_named() -> None:
    with pytest.raises(ValueError, match="a pair is a JSON object, this line holds a list"):
        json_object("[]", "a pair")


def test_a_mark_at_the_start_of_a_file_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n')
    assert [record for _, record in read_lines(path, parse_json)] == [{"a": 1}, {"a": 2}]
