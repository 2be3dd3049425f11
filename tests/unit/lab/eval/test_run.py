# SPDX-License-Identifier: Apache-2.0
"""Whole evaluations with a model that says what it is told to; ended and started again; bad input of every kind."""

import json
import sys
import types

import pytest

from tests.unit.lab.eval.support import FakeModel, evaluate, mmstar_row, settings, write_rows
from verl_df.cli import main
from verl_df.lab import engine
from verl_df.lab.eval.finished import read_evaluation
from verl_df.lab.eval.records import SAMPLES, Sample
from verl_df.lab.eval.settings import BenchmarkSettings
from verl_df.lab.eval.summary import write_summary
from verl_df.lab.generation import Request, request_seed, request_seeds

ROWS = 6


@pytest.fixture
def data(tmp_path):
    return write_rows(tmp_path / "mmstar.parquet", [mmstar_row(index) for index in range(ROWS)])


def right(request, seed, sample):
    return f"\\boxed{{{'ABCD'[request.number % 4]}}}"


def half(request, seed, sample):
    """Even problems right, problem 1 without an answer, problem 3 cut, problem 5 wrong."""
    text = right(request, seed, sample)
    return text if request.number % 2 == 0 else {1: "I cannot tell", 3: "cut"}.get(request.number, "A")


def test_every_response_is_kept(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CHUNK", 4)
    fake = FakeModel(half)
    assert evaluate(tmp_path / "out", fake, settings({"mmstar": data}, model, n=2, max_tokens=99)) == [str(model)]
    assert fake.calls == [(0, [0, 1, 2, 3]), (0, [4, 5]), (1, [0, 1, 2, 3]), (1, [4, 5])]
    assert {(one.n, one.temperature, one.top_p, one.max_tokens) for one in fake.decodings} == {(2, 0.7, 1.0, 99)}
    samples = read_evaluation(tmp_path / "out").samples
    assert [sample.key for sample in samples[:3]] == [
        ("mmstar", "star0", 0, 0),
        ("mmstar", "star0", 0, 1),
        ("mmstar", "star1", 0, 0),
    ]
    assert samples[0] == Sample("mmstar", "star0", 0, 0, r"\boxed{A}", 9, True, "A", 1.0)
    assert samples[2] == Sample("mmstar", "star1", 0, 0, "I cannot tell", 13, True, None, 0.0)
    assert (len(samples), sum(sample.score for sample in samples)) == (24, 12)
    kept = json.loads((tmp_path / "out/settings.json").read_text())
    assert (kept["name"], kept["n"], kept["seeds"], kept["data"]) == ("ours", 2, 2, {"mmstar": str(data)})
    page = write_summary(tmp_path / "out")
    # right: 3 of 6; of 24 responses 4 say nothing and 4 are cut, which say nothing either
    assert "| MMStar | 6 | 50.0% [16.7, 83.3] | 50.0% [16.7, 83.3] | 33.3% | 16.7% |" in page
    assert "| MMStar | category | logic | 3 | 100.0% |" in page and "| MMStar | category | math | 3 | 0.0% |" in page


def test_goes_on_where_it_was_ended(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CHUNK", 2)
    out, given = tmp_path / "out", settings({"mmstar": data}, model, n=2)

    class Ended(Exception):
        pass

    def ends(request, seed, sample):
        if (seed, request.number) == (1, 2):
            raise Ended
        return right(request, seed, sample)

    with pytest.raises(Ended):
        evaluate(out, FakeModel(ends), given)
    with pytest.raises(ValueError, match="16 of 24 samples: run the same command again"):
        read_evaluation(out)
    # as if it had been ended between the two samples of a problem, and within a line
    lines = (out / "samples.jsonl").read_text().splitlines(keepends=True)
    (out / "samples.jsonl").write_text("".join(lines[:15]) + lines[15][:30])
    fake = FakeModel(right)
    evaluate(out, fake, given)
    assert fake.calls == [(1, [1, 2]), (1, [3, 4]), (1, [5])]
    samples = read_evaluation(out).samples
    assert len({sample.key for sample in samples}) == len(samples) == 24
    assert (out / "samples.jsonl").read_text().startswith("".join(lines[:14]))
    # nothing is left to do: no model is loaded
    assert evaluate(out, fake, given) == []
    # a free setting may change, another one not
    assert evaluate(out, fake, settings({"mmstar": data}, model, n=2, engine={"tensor_parallel_size": 2})) == []
    with pytest.raises(ValueError, match="temperature 0.7 there, 1.0 now. Give the same ones, or another --out"):
        evaluate(out, fake, settings({"mmstar": data}, model, n=2, temperature=1.0))
    write_rows(data, [mmstar_row(index, reward_model={"style": "rule", "ground_truth": "D"}) for index in range(ROWS)])
    with pytest.raises(ValueError, match="the data have changed"):
        evaluate(out, fake, given)


def test_failed_requests_are_asked_again_and_never_scored(data, model, tmp_path):
    out, given = tmp_path / "out", settings({"mmstar": data}, model, seeds=1)
    fake = FakeModel(lambda request, *rest: None if request.number in (1, 4) else right(request, *rest))
    with pytest.raises(ValueError, match=r"2 problems have no answer \(timeout 1\): run the same command again"):
        evaluate(out, fake, given)
    assert [sample.problem for sample in SAMPLES.read(out / "samples.jsonl")] == [f"star{i}" for i in (0, 2, 3, 5)]
    again = FakeModel(right)
    evaluate(out, again, given)
    assert again.calls == [(0, [1, 4])] and len(read_evaluation(out).samples) == 6
    with pytest.raises(ValueError, match=r"no problem of 6 was answered \(timeout 1\)"):
        evaluate(tmp_path / "other", FakeModel(lambda *_: None), given)


def test_greedy_and_limit(data, model, tmp_path):
    fake = FakeModel(right)
    evaluate(tmp_path / "out", fake, settings({"mmstar": data}, model, greedy=True, seeds=1, limit=3))
    (decoding,) = fake.decodings
    assert (decoding.n, decoding.temperature, decoding.top_p) == (1, 0.0, 1.0)
    (_, numbers), few = fake.calls[0], FakeModel(right)
    assert len(numbers) == 3
    evaluate(tmp_path / "few", few, settings({"mmstar": data}, model, greedy=True, seeds=1, limit=2))
    assert set(few.calls[0][1]) < set(numbers)  # a larger limit holds a smaller one


def test_seeds_follow_the_row_not_the_call():
    requests = [Request([], [], number) for number in (5, 2)]
    assert request_seeds(requests, 3) == [request_seed(3, 5), request_seed(3, 2)]
    assert request_seeds([Request([], []), Request([], [])], 3) == [request_seed(3, 0), request_seed(3, 1)]


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "--n 0: 1 or more"),
        ({"limit": 0}, "--limit 0: 1 or more"),
        ({"temperature": 0.0}, "for temperature 0 give --greedy"),
        ({"top_p": 0.0}, "--top-p"),
        ({"greedy": True, "seeds": 2}, "--greedy gives the same response again"),
        ({"checkpoint": "c"}, "either --model NAME=FOLDER or --checkpoint"),
        ({"model": None}, "either --model"),
        ({"model": None, "checkpoint": "c", "server": True}, "merge the checkpoint and serve it"),
    ],
)
def test_settings_refuse(changes, message):
    with pytest.raises(ValueError, match=message):
        BenchmarkSettings(**{"name": "x", "model": "m", "data": {}, **changes})


BAD_ROWS = [
    (mmstar_row(1, data_source="mmmu"), "row 1: it cannot be scored: extra_info has no 'question_type'"),
    (
        mmstar_row(1, reward_model={"style": "rule", "ground_truth": "F"}),
        "row 1: it cannot be scored: the ground truth",
    ),
    (mmstar_row(1, images=[]), "row 1: no image"),
    (mmstar_row(1, images=[{"bytes": b"no picture"}]), "row 1"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_is_named_before_the_model_is_loaded(row, message, model, tmp_path, capsys):
    path = write_rows(tmp_path / "bad.parquet", [mmstar_row(0), row])
    arguments = ["run", "--model", f"a={model}", "--data", f"mmstar={path}", "--out", str(tmp_path / "out")]
    assert main(["eval", *arguments]) == 1
    assert f"{path}, {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--data", "x=y", "--out", "o"], "either --model NAME=FOLDER or --checkpoint"),
        (["run", "--model", "folder", "--data", "x=y", "--out", "o"], "--model 'folder': write NAME=VALUE"),
        (["run", "--model", "a=b", "--data", "x=1", "--data", "x=2", "--out", "o"], "--data 'x' is given twice"),
        (["run", "--model", "a=b", "--data", "x=none.parquet", "--out", "o"], "none.parquet: no such file"),
        (["table", "--run", "a", "--out", "o"], "'a': write NAME=DIR1,DIR2"),
        (["table", "--run", "a=nowhere", "--out", "o"], "nowhere holds no settings.json"),
    ],
)
def test_command_line_refuses(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_there(data, tmp_path, capsys):
    arguments = ["run", "--model", f"a={tmp_path / 'none'}", "--data", f"mmstar={data}", "--out", str(tmp_path / "out")]
    assert main(["eval", *arguments]) == 1
    assert "no processor or tokenizer can be loaded from there" in capsys.readouterr().err


# ---- a checkpoint ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_merged_once(data, model, tmp_path, monkeypatch):
    """The merge is `verl_df.lab.checkpoint`'s; here it only says what it was asked."""
    asked = []

    def merge_checkpoint(checkpoint, target):
        asked.append(("merge", str(checkpoint), str(target)))
        target.mkdir(parents=True)
        return target

    for name, content in {
        "verl_df.lab.checkpoint.merge": {"merge_checkpoint": merge_checkpoint},
        "verl_df.lab.checkpoint.locate": {"find_actor": lambda checkpoint: asked.append(("find", str(checkpoint)))},
    }.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    out = tmp_path / "out"
    given = settings({"mmstar": data}, model, model=None, checkpoint="run/global_step_3", seeds=1)
    assert evaluate(out, FakeModel(right), given) == [str(out / "model")]
    assert asked == [("find", "run/global_step_3"), ("merge", "run/global_step_3", str(out / "model"))]
    (out / "samples.jsonl").unlink()
    assert evaluate(out, FakeModel(right), given) == [str(out / "model")]
    assert [step for step, *_ in asked] == ["find", "merge", "find"]
