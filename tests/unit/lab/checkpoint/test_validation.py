# SPDX-License-Identifier: Apache-2.0
"""The trainer's validation read back, and ours compared with it, problem by problem."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.cli import main
from verl_df.lab.checkpoint import answer
from verl_df.lab.checkpoint.answer import ValidationSettings, solve
from verl_df.lab.checkpoint.validation import Solved, accuracies, differing_sources, disagreements, trainer_accuracy
from verl_df.lab.generation import Response
from verl_df.lab.toy.tokenizer import save_processor

ACC = "val-core/verl_df/toy/acc/mean@1"


def write_lines(path: Path, *entries: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def logged(step: int, **values: float) -> dict:
    return {"step": step, "data": values}


def solved(row: int, output: str, right: float, prompt: str = "user\nq", source: str = "verl_df/toy") -> Solved:
    return Solved(row, source, prompt, "1", output, right)


def dumped(output: str, acc: float, prompt: str = "user\nq") -> dict:
    return {"input": prompt, "output": output, "gts": "1", "score": acc, "step": 3, "acc": acc, "uid": "u_0_0"}


def test_the_accuracy_at_a_step(tmp_path: Path) -> None:
    metrics = write_lines(
        tmp_path / "metrics.jsonl",
        logged(0, **{ACC: 0.25}),
        logged(1, loss=3.0),
        logged(2, **{ACC: 0.5, "val-core/mmmu/reward/mean@1": 0.125, "val-aux/verl_df/toy/reward/mean@1": 0.9}),
    )
    assert trainer_accuracy(metrics, 0) == {"verl_df/toy": 0.25}
    assert trainer_accuracy(metrics, 2) == {"verl_df/toy": 0.5, "mmmu": 0.125}
    with pytest.raises(ValueError, match=r"no validation at step 1 \(there is one at \[0, 2\]\)"):
        trainer_accuracy(metrics, 1)
    with pytest.raises(FileNotFoundError, match=r"trainer.logger=\[file\]"):
        trainer_accuracy(tmp_path / "none", 1)


def test_a_step_logged_again_by_a_resumed_run(tmp_path: Path) -> None:
    metrics = write_lines(tmp_path / "m.jsonl", logged(2, **{ACC: 0.5}), logged(2, **{ACC: 0.75}))
    assert trainer_accuracy(metrics, 2) == {"verl_df/toy": 0.75}


def test_a_validation_that_sampled_is_refused(tmp_path: Path) -> None:
    metrics = write_lines(tmp_path / "m.jsonl", logged(2, **{"val-core/toy/acc/mean@2": 0.5}))
    with pytest.raises(ValueError, match=r"over \[2\] responses a problem"):
        trainer_accuracy(metrics, 2)


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"step": 1, "data": {}}\n{"step":')
    with pytest.raises(ValueError, match="m.jsonl, line 2: not JSON .Expecting value"):
        trainer_accuracy(tmp_path / "m.jsonl", 1)


def test_one_problem_of_three_is_a_difference() -> None:
    ours = [solved(0, "a", 1.0), solved(1, "b", 0.0), solved(2, "c", 1.0), solved(3, "d", 1.0, source="mmmu")]
    assert accuracies(ours) == {"verl_df/toy": pytest.approx(2 / 3), "mmmu": 1.0}
    assert differing_sources(ours, {"verl_df/toy": 0.6666666667, "mmmu": 1.0}) == {}
    assert differing_sources(ours, {"verl_df/toy": 1.0, "mmmu": 1.0}) == {"verl_df/toy": pytest.approx(-1)}
    with pytest.raises(ValueError, match=r"the data are of \['mmmu', 'verl_df/toy'\], the trainer validated on"):
        differing_sources(ours, {"verl_df/toy": 1.0})


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.data())
def test_only_the_same_number_of_right_answers_is_equal(rights: list[bool], data: st.DataObject) -> None:
    """However verl's mean was rounded on its way: one problem more or less is found."""
    ours = [solved(row, "", float(right)) for row, right in enumerate(rights)]
    theirs = data.draw(st.integers(0, len(rights)))
    gaps = differing_sources(ours, {"verl_df/toy": float(f"{theirs / len(rights):.10f}")})
    assert (gaps == {}) == (theirs == sum(rights))
    if gaps:
        assert gaps["verl_df/toy"] == pytest.approx(sum(rights) - theirs, abs=1e-3)


def test_the_problems_that_differ(tmp_path: Path) -> None:
    """Three share their prompt and ground truth; the dump is in another order."""
    ours = [solved(0, "one", 1.0), solved(1, "two", 0.0), solved(2, "three", 1.0), solved(3, "four", 1.0, "user\nr")]
    dump = write_lines(
        tmp_path / "3.jsonl", dumped("four", 1.0, "user\nr"), dumped("3", 0.0), dumped("two", 0.0), dumped("one", 1.0)
    )
    (found,) = disagreements(ours, dump)
    assert (found.ours.row, found.their_right, found.their_output) == (2, 0.0, "3")
    same = write_lines(tmp_path / "4.jsonl", *(dumped(one.output, one.right, one.prompt) for one in reversed(ours)))
    assert disagreements(ours, same) == []


def test_other_words_with_the_same_result_are_no_disagreement(tmp_path: Path) -> None:
    dump = write_lines(tmp_path / "3.jsonl", dumped("uno", 1.0), dumped("zero", 0.0))
    assert disagreements([solved(0, "nothing", 0.0), solved(1, "one", 1.0)], dump) == []


def test_errors_that_cancel_out_are_found(tmp_path: Path) -> None:
    ours = [solved(0, "a", 1.0), solved(1, "b", 0.0, "user\nr")]
    dump = write_lines(tmp_path / "3.jsonl", dumped("a2", 0.0), dumped("b2", 1.0, "user\nr"))
    assert differing_sources(ours, {"verl_df/toy": 0.5}) == {}
    assert [one.ours.row for one in disagreements(ours, dump)] == [0, 1]


def test_a_dump_of_other_problems(tmp_path: Path) -> None:
    dump = write_lines(tmp_path / "3.jsonl", dumped("a", 1.0), dumped("b", 1.0))
    with pytest.raises(ValueError, match="holds other problems than the data, or several responses to one"):
        disagreements([solved(0, "a", 1.0)], dump)


class FakeGenerator:
    """Answers the number of the request, boxed; the toy's processor for the prompts."""

    patch_size = 14

    def __init__(self, folder: Path) -> None:
        self.processor = save_processor(folder, 0)
        self.tokenizer = self.processor.tokenizer

    def generate(self, requests, *, n, temperature, top_p=1.0, max_tokens, seed):
        assert (n, temperature, max_tokens) == (1, 0.0, 8)
        return [[Response((1,), f"\\boxed{{{number}}}", True)] for number in range(len(requests))]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple]:
    """vLLM replaced; the arguments that it was opened with."""
    opened: list[tuple] = []

    @contextmanager
    def open_engine(model: str, **options):
        opened.append((model, options))
        yield FakeGenerator(tmp_path / "processor")

    monkeypatch.setattr(answer, "VLLMGenerator", open_engine)
    return opened


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Six rows whose right answer is their number."""
    from tests.unit.lab.checkpoint.support import save_rows  # imports verl

    return save_rows(tmp_path / "rows.parquet", 6)


def test_every_row_is_answered_and_judged(engine: list[tuple], rows: Path, tmp_path: Path) -> None:
    settings = ValidationSettings(rows, 8, "pkg://verl_df.lab.toy.reward", dtype="float32", engine={"seed": 3})
    found = solve(tmp_path, settings)
    assert [(one.row, one.right, one.output) for one in found[:2]] == [(0, 1.0, "\\boxed{0}"), (1, 1.0, "\\boxed{1}")]
    assert engine == [(str(tmp_path), {"max_model_len": None, "dtype": "float32", "seed": 3})]
    # as verl decodes a prompt: the words of the chat form, none of its special tokens
    assert found[5].prompt.startswith("user\n") and "How many cells are 5 red?\nassistant\n" in found[5].prompt
    with pytest.raises(ValueError, match="--max-tokens 0: 1 or more"):
        solve(tmp_path, ValidationSettings(rows, 0))


def test_the_command(engine: list[tuple], rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = tmp_path / "checkpoints/global_step_3/actor"
    checkpoint.mkdir(parents=True)
    (checkpoint / "fsdp_config.json").write_text("{}")
    metrics = write_lines(tmp_path / "metrics.jsonl", logged(3, **{"val-core/toy/acc/mean@1": 1.0}))
    command = ["validate", str(checkpoint.parent), "--merged", "model", "--data", str(rows), "--metrics", str(metrics)]
    command += ["--max-tokens", "8", "--reward-path", "pkg://verl_df.lab.toy.reward", "--engine", "seed=3"]
    assert main(["checkpoint", *command]) == 0
    assert "equal on 6 problems\ntoy: 1.000000 in vLLM from model, 1.000000" in capsys.readouterr().out
    assert engine[-1][1] == {"max_model_len": None, "dtype": "bfloat16", "seed": 3}

    write_lines(metrics, logged(3, **{"val-core/toy/acc/mean@1": 5 / 6}))
    assert main(["checkpoint", *command]) == 1
    told = capsys.readouterr().err
    assert "toy by +1 problems" in told and "unknown without --generations" in told

    prompts = [one.prompt for one in solve(Path("model"), ValidationSettings(rows, 8, "pkg://verl_df.lab.toy.reward"))]
    theirs = [dumped(f"\\boxed{{{row}}}", 1.0, prompts[row]) | {"gts": str(row)} for row in range(6)]
    theirs[4] |= {"output": "4?", "acc": 0.0, "score": 0.0}
    write_lines(tmp_path / "val/3.jsonl", *theirs)
    assert main(["checkpoint", *command, "--generations", str(tmp_path / "val")]) == 1
    shown, told = capsys.readouterr()
    assert "problems with another result: 1, rows 4" in told and "row 4: 1 here, 0 there" in shown and "'4?'" in shown

    assert main(["checkpoint", *command, "--step", "4"]) == 1
    assert "no validation at step 4" in capsys.readouterr().err
    assert main(["checkpoint", *command, "--engine", "seed"]) == 1
    assert "--engine 'seed': write NAME=VALUE" in capsys.readouterr().err
    assert main(["checkpoint", *command, "--generations", str(tmp_path / "none")]) == 1
    assert "3.jsonl: no such file; verl writes it with trainer.validation_data_dir" in capsys.readouterr().err
