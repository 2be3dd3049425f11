# SPDX-License-Identifier: Apache-2.0
"""JSON of others: a value, or one line that says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.io import json_text
from verl_df.io.files import read_object
from verl_df.io.json_lines import read_lines
from verl_df.io.json_text import MAX_DEPTH, check_depth, json_object, parse_json

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


@pytest.mark.parametrize("quote", ["", '"', '"\\', '"\\"', '"}'])
def test_a_deep_text_does_not_reach_the_parser(quote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit of recursion the garbage collector would run others' finalizers, and they would fail."""
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("parsed"))
    with pytest.raises(ValueError, match="more than 100 levels"):
        parse_json("[" * 2000 + quote)


def levels_of(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(levels_of, value.values() if isinstance(value, dict) else value), default=0)


@given(st.lists(VALUES) | st.dictionaries(st.text(), VALUES), st.integers(0, 5))
def test_the_depth_is_that_of_the_value(value: Any, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "MAX_DEPTH", most)
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            if levels_of(value) > most:
                with pytest.raises(ValueError, match="levels"):
                    check_depth(text)
            else:
                check_depth(text + "[" * 9)  # what follows the value is no part of it


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
