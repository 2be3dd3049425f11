# SPDX-License-Identifier: Apache-2.0
"""The engine: chunks, and a file of samples that a kill may leave at any byte."""

import argparse
import io
from contextlib import redirect_stderr
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lab.eval.support import FakeModel
from verl_df.lab import engine
from verl_df.lab.command_line import add_options, named_folders
from verl_df.lab.engine import Decoding, SampleFile, judged
from verl_df.lab.eval.records import SAMPLES, Sample
from verl_df.lab.eval.repairs.settings import RepairSettings
from verl_df.lab.eval.settings import BenchmarkSettings
from verl_df.lab.generation import Request

DECODING = Decoding(n=2, temperature=1.0, top_p=0.9, max_tokens=7)


class Length:
    """A reward: the length of the text in tenths."""

    def score(self, answers):
        return [len(answer.text) / 10 for answer in answers]


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5))
def test_every_row_is_answered_in_order_whatever_the_chunks(failing, chunk):
    """Rows whose number is listed as 0 fail."""
    rows = [SimpleNamespace(data_source="d", ground_truth="", extra_info={}, place=place) for place in failing]
    fake = FakeModel(lambda request, seed, sample: None if request.number == 0 else "x" * request.number)
    asked = [(row, Request([], [], row.place)) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CHUNK", chunk)
        chunks = list(judged(iter(asked), fake, DECODING, 3, Length()))
    assert [len(one) for one in chunks[:-1]] == [chunk] * (len(chunks) - 1)
    found = [own for one in chunks for own in one]
    assert [[(one.row, one.number, one.score) for one in own] for own in found] == [
        [(row, number, row.place / 10) for number in range(2)] if row.place else [] for row in rows
    ]
    assert all(decoding == DECODING for decoding in fake.decodings) and {seed for seed, _ in fake.calls} <= {3}


UNITS = [(data, seed, f"p{place}") for data in "ab" for seed in range(2) for place in range(2)]
TEXT = "é\u2028\n\ud83d"  # and half of a surrogate pair


def samples(unit, score=0.5):
    data, seed, problem = unit
    return [Sample(data, problem, seed, number, TEXT, 3, True, None, score + number / 10) for number in range(2)]


@given(st.integers(0, 10_000))
def test_a_run_that_was_killed_anywhere_ends_as_one_that_was_not(tmp_path_factory, end):
    path, whole = (tmp_path_factory.mktemp("run") / name for name in ("samples.jsonl", "whole.jsonl"))
    for target in (whole, path):
        with SampleFile(target, SAMPLES, lambda sample: 2) as file:
            for unit in UNITS:
                file.append(samples(unit))
            assert file.done == dict.fromkeys(UNITS, 0.6)
    content = whole.read_bytes()
    path.write_bytes(content[: end % (len(content) + 1)])
    with SampleFile(path, SAMPLES, lambda sample: 2) as file:
        assert list(file.done) == UNITS[: len(file.done)]
        assert [unit for unit, _ in groupby(SAMPLES.read(path), lambda one: one.unit)] == list(file.done)
        for unit in UNITS:
            if unit not in file.done:
                file.append(samples(unit))
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", [BenchmarkSettings, RepairSettings])
def test_options_are_the_settings(kind):
    """Every option has its help with its default, and what is not given is absent: the settings' defaults hold."""
    parser = argparse.ArgumentParser()
    add_options(parser, kind)
    needed = ["--data", "x"]
    found = vars(parser.parse_args([*needed, "--n", "3", "--engine", "a=1", "--engine", "b=2", "--greedy"]))
    given_data = found.pop("data")
    assert given_data in ("x", ["x"]) and found == {"n": 3, "engine": ["a=1", "b=2"], "greedy": True}
    text = " ".join(parser.format_help().split())
    assert "sampling seeds" in text and f"(default: {kind.seeds})" in text and "(default: None)" not in text
    with redirect_stderr(io.StringIO()), pytest.raises(SystemExit):
        parser.parse_args([*needed, "--n", "many"])


def test_named_runs():
    assert named_folders("x=a,b#m n") == ("x", [(Path("a"), ""), (Path("b"), "m n")])
    for wrong in ("x", "=a", "x="):
        with pytest.raises(ValueError, match="write NAME=DIR1,DIR2"):
            named_folders(wrong)
