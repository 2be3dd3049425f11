# SPDX-License-Identifier: Apache-2.0
"""Reading, checking and filling prompt templates."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.prompts import (
    AUDITOR_FILE,
    AUDITOR_PLACEHOLDERS,
    JUDGE_FILE,
    JUDGE_PLACEHOLDERS,
    PLACEHOLDERS,
    TEMPLATE_FILE,
    load_template,
    read_template,
    render,
    render_repair,
)

PACKAGED = [
    (TEMPLATE_FILE, PLACEHOLDERS),
    (JUDGE_FILE, JUDGE_PLACEHOLDERS),
    (AUDITOR_FILE, AUDITOR_PLACEHOLDERS),
]


@pytest.mark.parametrize(("path", "placeholders"), PACKAGED)
def test_packaged_templates_hold_each_value_once(path: Path, placeholders: tuple[str, ...]) -> None:
    filled = render(read_template(path, placeholders), {name: f"value of {name}" for name in placeholders})
    assert all(filled.count(f"value of {name}") == 1 for name in placeholders)
    assert not any(f"{{{name}}}" in filled for name in placeholders)


@pytest.mark.parametrize("text", ["{a}", "{a} {b} {b}", "", "{a} {B}"])
def test_each_placeholder_exactly_once(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine.txt: the template must contain \{[ab]\} exactly once"):
        read_template(path, ("a", "b"))


def test_other_braces_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text('{a}: answer {"correct": true} or \\boxed{7}\n')
    assert render(read_template(path, ("a",)), {"a": "x"}) == 'x: answer {"correct": true} or \\boxed{7}'


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(b"{a}\xff")
    with pytest.raises(ValueError, match="mine.txt: the template must be UTF-8"):
        read_template(path, ("a",))
    with pytest.raises(FileNotFoundError):
        read_template(tmp_path / "none.txt", ("a",))


@given(st.text(), st.text())
def test_values_are_put_in_as_they_are(first: str, second: str) -> None:
    if "<image>" in first + second or "<video>" in first + second:
        return
    assert render("[{a}][{b}]", {"a": first, "b": second}) == f"[{first}][{second}]"


@pytest.mark.parametrize("value", ["{b}", "{a}", r"\boxed{b}", r"\1", r"\g<0>", "{{b}}"])
def test_values_are_never_read_as_template(value: str) -> None:
    assert render("[{a}][{b}]", {"a": value, "b": "x"}) == f"[{value}][x]"


@pytest.mark.parametrize("marker", ["<image>", "<video>", "<im<image>age>", "<vid<image>eo>"])
def test_markers_stay_only_where_they_are_kept(marker: str) -> None:
    values = {"a": f"1{marker}2", "b": f"3{marker}4"}
    assert render("{a} {b}", values) == "12 34"
    assert render("{a} {b}", values, keep_markers=("a",)) == f"1{marker}2 34"


def test_markers_that_taking_one_out_leaves_behind_go_too() -> None:
    assert render("{a}", {"a": "1<im<video>age>2<im<im<image>age>age>3<image"}) == "123<image"
    deep = 8000  # levels; at each of them there was a pass over the whole text once
    start = time.process_time()
    assert render("{a}", {"a": "<im" * deep + "age>" * deep}) == ""
    assert time.process_time() - start < 5


def test_the_repair_template_is_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("{question}{response}")
    with pytest.raises(ValueError, match=r"mine.txt: the template must contain \{reference\} exactly once"):
        load_template(path)
    assert render_repair("<image>q", "<image>y", "a", "{question} {response} {reference}") == "<image>q y a"
    assert load_template().index("{response}") < load_template().index("{reference}")
