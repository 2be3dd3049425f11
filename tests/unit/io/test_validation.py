# SPDX-License-Identifier: Apache-2.0
"""Classes that are checked when they are made."""

import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from verl_df.io.validation import Choice, Listed, checked, described


class Colour(Choice):
    RED = "red"
    GREEN = "green"


@checked
class Inner:
    count: Annotated[int, Field(gt=0)] = 1
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.share > self.count:
            raise ValueError(f"share={self.share} is more than count={self.count}")


@checked
class Outer:
    name: str
    colour: Colour = Colour.RED
    size: Literal["small", "large"] = "small"
    numbers: Listed[int] = ()
    inner: Inner = Inner()
    other: Inner | None = None
    free: dict[str, Any] = field(default_factory=dict)


def test_values_are_kept_and_defaults_are_plain() -> None:
    made = Outer("a", "green", numbers=[1, 2], other=Inner(3), free={"x": [None]})  # type: ignore[arg-type]
    assert made == Outer("a", Colour.GREEN, "small", (1, 2), Inner(), Inner(3, 0.5), {"x": [None]})
    assert made.colour is Colour.GREEN
    assert {one.name: one.default for one in fields(Inner)} == {"count": 1, "share": 0.5}
    with pytest.raises(FrozenInstanceError):
        made.name = "b"  # type: ignore[misc]


@given(st.builds(Outer, st.text(), st.sampled_from(Colour), numbers=st.lists(st.integers())))
def test_an_instance_survives_its_ways(made: Outer) -> None:
    assert pickle.loads(pickle.dumps(made)) == replace(made) == Outer(**asdict(made)) == made
    assert TypeAdapter(Outer).validate_python(asdict(made)) == made


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "missing key 'name'"),
        ({"name": 1}, "name: expected str, got 1"),
        ({"name": "a", "nmae": 1}, "unknown key 'nmae'; did you mean 'name'?"),
        ({"name": "a", "colour": "rad"}, "colour='rad'; did you mean 'red'?"),
        ({"name": "a", "colour": "x"}, "colour='x'; known: green, red"),
        ({"name": "a", "size": None}, "size=None; known: large, small"),
        ({"name": "a", "numbers": [1, True]}, "numbers.1: expected int, got True"),
        ({"name": "a", "numbers": "12"}, "numbers: expected list, got '12'"),
        ({"name": "a", "inner": 3}, "inner: expected a block of keys, got 3"),
        ({"name": "a", "inner": None}, "inner: expected a block of keys, got None"),
        ({"name": "a", "inner": {"cuont": 1}}, "unknown key 'inner.cuont'; did you mean 'count'?"),
        ({"name": "a", "other": {"shar": 1}}, "unknown key 'other.shar'; did you mean 'share'?"),
        ({"name": "a", "other": 1}, "other: expected a block of keys or null, got 1"),
        ({"name": "a", "inner": {"count": -1}}, "inner.count=-1: must be more than 0"),
        ({"name": "a", "inner": {"share": float("inf")}}, "inner.share=inf: must be a finite number"),
        ({"name": "a", "inner": {"share": 2}}, "inner: share=2.0 is more than count=1"),
        ({"name": "a", "free": {1: 2}}, "free.1.[key]: expected str, got 1"),
        ({"name": "a", "a": 1, "b": 2, "c": 3, "d": 4}, "unknown key 'a'; {known}; unknown key 'b'; {known}; {more}"),
        ({"name": ["long"] * 99}, f"name: expected str, got {str(['long'] * 99)[:150]} ... {str(['long'] * 99)[-40:]}"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, Any], message: str) -> None:
    known = "known: colour, free, inner, name, numbers, other, size"
    expected = message.replace("{known}", known).replace("{more}", f"unknown key 'c'; {known}; and 1 more")
    with pytest.raises(ValueError) as refused:
        Outer(**values)
    assert str(refused.value) == expected


def test_a_place_stands_before_each_key_and_a_moved_key_has_its_new_name() -> None:
    for content, message in (
        (3, "df: expected a block of keys, got 3"),
        ({"count": 0, "old": 1}, "df.count=0: must be more than 0; df.old is df.new now"),
        ({"share": 3}, "df: share=3.0 is more than count=1"),
    ):
        with pytest.raises(ValidationError) as refused:
            TypeAdapter(Inner).validate_python(content)
        assert described(refused.value, Inner, "df", {"df.old": "df.new"}) == message
