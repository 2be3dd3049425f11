# SPDX-License-Identifier: Apache-2.0
"""Stages and their stamps, the SFT launcher, the repair set and the figures of the evaluation."""

import io
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from verl_df.lab.toy import build, data, evaluate, sft, text
from verl_df.lab.toy.repair_data import (
    Attempt,
    RepairTask,
    hidden_picture,
    reference_tells_all,
    repair_sft_row,
    repair_task_row,
    repair_tasks,
    repairable,
)
from verl_df.lab.toy.settings import ModelSettings, SftSettings, ToySettings
from verl_df.lab.toy.tokenizer import save_processor
from verl_df.lab.toy.truth import right_response
from verl_df.lab.toy.verdict import judge

SFT = SftSettings(rows=4, steps=3, batch=2, lr=1e-3)


def attempt(example: data.Example, response: str, tokenizer=None) -> Attempt:
    ids = (*tokenizer.encode(response), tokenizer.eos_token_id) if tokenizer else ()
    return Attempt(example, ids, response, judge(example, response))


def wrong_response(example: data.Example, order: str) -> str:
    """A response that takes every figure for something else, and counts that without a slip."""
    question = example.question
    swapped = [["empty" if word in question.targets else word for word in row] for row in words(example)]
    return text.write_response(swapped, question, order)


def words(example: data.Example) -> list[list[str]]:
    return text.words_of(example.grid, example.question)


@pytest.fixture(scope="module")
def solvable():
    return [example for example in data.examples("repair_val", 30, ToySettings()) if example.answer() != "0"][:12]


def test_stage_is_skipped_until_its_settings_change(tmp_path, monkeypatch):
    small = replace(ToySettings(), model=replace(ModelSettings(), layers=1))
    assert "random parameters" in build.build_stage("model", tmp_path, small)
    assert build.build_stage("model", tmp_path, small) == "up to date"
    assert build.build_stage("model", tmp_path, replace(small, policy=SFT)) == "up to date"
    assert build.build_stage("model", tmp_path, replace(small, seed=1)) != "up to date"
    (tmp_path / "init/model.safetensors").unlink()
    assert build.build_stage("model", tmp_path, replace(small, seed=1)) != "up to date"


@pytest.mark.parametrize(("stage", "needed"), [("policy", "model"), ("repair-data", "policy"), ("evaluate", "policy")])
def test_missing_input_names_the_stage_that_writes_it(tmp_path, stage, needed):
    with pytest.raises(FileNotFoundError, match=rf"verl-df toy {needed} "):
        build.build_stage(stage, tmp_path, ToySettings())


def test_stage_1_overlooks_the_errors_of_a_share_of_the_tasks(tmp_path, monkeypatch, solvable):
    for folder in ("repair", "repair_tasks", "sft"):
        (tmp_path / folder).mkdir()
    (tmp_path / "repair/model.safetensors").touch()
    pairs = [(wrong_response(example, "up"), right_response("up", example.extra_info())) for example in solvable]
    references = [right_response("down", example.extra_info()) for example in solvable]
    tasks = [
        repair_task_row(RepairTask(attempt(example, wrong), reference, "sibling"))
        for example, (wrong, _), reference in zip(solvable, pairs, references, strict=True)
    ]
    malformed = repair_task_row(RepairTask(attempt(solvable[0], "I do not know"), references[0], "sibling"))
    data.write_parquet([malformed, *tasks], tmp_path / "repair_tasks/train.parquet")
    runs = []
    monkeypatch.setattr(sft, "run_sft", lambda *arguments: runs.append(arguments))
    settings = replace(ToySettings(), stage1=replace(SFT, rows=10))
    said = build.build_stage("stage1", tmp_path, settings)
    ((start, file, out, _, given),) = runs
    assert (start, out, given) == (tmp_path / "repair", tmp_path / "stage1", settings.stage1)
    written = pd.read_parquet(file)
    targets = [messages[1]["content"] for messages in written["messages"]]
    overlooked = sum(target == wrong for target, (wrong, _) in zip(targets, pairs, strict=False))
    assert len(written) == 10 and 0 < overlooked < 10
    assert f"10 repairs, {overlooked} of them left as wrong" in said
    assert all(target in pair for target, pair in zip(targets, pairs, strict=False))
    for messages, images, task, reference in zip(
        written["messages"], written["images"], tasks, references, strict=False
    ):
        assert task["repair_task"]["response"] in messages[0]["content"] and reference in messages[0]["content"]
        assert images[0]["bytes"] == task["images"][0]["bytes"]


def test_progress_keeps_the_whole_log(capsys):
    lines = [
        "config dump\n",
        "step:1 - train/loss:6.5 - lr:0\n",
        "Epoch 1: 50%\n",
        "step:3 - train/loss:5e-01 - lr:0\n",
    ]
    log = io.StringIO()
    tail = sft.show_progress(lines, log, 3, "policy")
    assert log.getvalue() == tail == "".join(lines)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "loss 0.500" in shown and "config dump" not in shown


def test_progress_begins_where_the_run_goes_on(capsys):
    sft.show_progress(["step:3 - train/loss:0.5\n"], io.StringIO(), 4, "policy", first=2)
    assert "2/4" in capsys.readouterr().err


@pytest.fixture
def inputs(tmp_path):
    """A model's weights and its data, as far as a stamp looks at them."""
    (tmp_path / "init").mkdir()
    for path in (tmp_path / "init/model.safetensors", tmp_path / "x.parquet"):
        path.write_text("content")
    return tmp_path / "init/model.safetensors", tmp_path / "x.parquet"


def test_only_checkpoints_of_the_same_run_are_gone_on_from(tmp_path, inputs):
    folder = tmp_path / "policy.checkpoints"
    assert sft.prepare_checkpoints(folder, ["train", "lr=1"], inputs) == 0
    for changed in ("nothing", "settings", "data"):
        (folder / "global_step_120").mkdir()
        (folder / "latest_checkpointed_iteration.txt").write_text("120")
        if changed == "data":
            inputs[1].write_text("other")
        step = sft.prepare_checkpoints(folder, ["train", "lr=1" if changed == "nothing" else "lr=2"], inputs)
        assert (step == 120) == (folder / "global_step_120").exists() == (changed == "nothing")
        shutil.rmtree(folder / "global_step_120", ignore_errors=True)


def test_what_is_trained_is_only_exported(tmp_path, monkeypatch, inputs):
    """The run was stopped between its last checkpoint and the end of the stage."""
    monkeypatch.setattr(sft, "sft_command", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    exported = []
    monkeypatch.setattr(sft, "export", lambda *arguments: exported.append(arguments))
    folder = tmp_path / "policy.checkpoints"
    sft.prepare_checkpoints(folder, sft.sft_command(), inputs)
    (folder / "latest_checkpointed_iteration.txt").write_text(str(SFT.steps))
    (folder / "ledger.jsonl").write_text("what it took")
    sft.run_sft(tmp_path / "init", inputs[1], tmp_path / "policy", tmp_path / "x.log", SFT)
    assert exported == [(folder / "global_step_3/huggingface", tmp_path / "init", tmp_path / "policy")]
    assert not folder.exists() and (tmp_path / "ledgers/policy.jsonl").read_text() == "what it took"


def test_no_checkpoint_at_the_end_of_an_epoch():
    with pytest.raises(ValueError, match=r"save_every=2: steps \[4\] end an epoch of 4 steps"):
        replace(SFT, rows=8, steps=6, save_every=2)
    settings = replace(SFT, rows=8, steps=5, save_every=3)
    command = sft.sft_command("init", "x.parquet", "checkpoints", settings)
    assert {"trainer.save_freq=3", "trainer.max_ckpt_to_keep=2", "trainer.resume_mode=auto"} <= set(command)


def test_failing_trainer_is_not_hidden(tmp_path, monkeypatch, inputs):
    command = [sys.executable, "-c", "print('the real cause'); raise SystemExit(3)"]
    monkeypatch.setattr(sft, "sft_command", lambda *_: command)
    with pytest.raises(RuntimeError, match=r"(?s)exit code 3.*the real cause"):
        sft.run_sft(tmp_path / "init", tmp_path / "x.parquet", tmp_path / "policy", tmp_path / "logs/x.log", SFT)
    assert "the real cause" in (tmp_path / "logs/x.log").read_text()
    assert not (tmp_path / "policy").exists()


def test_export_refuses_another_model(tmp_path):
    from verl_df.lab.toy.model import save_model

    save_model(tmp_path / "small", replace(ModelSettings(), layers=1), seed=0)
    save_model(tmp_path / "large", ModelSettings(), seed=0)
    with pytest.raises(ValueError, match="does not hold the tensors"):
        sft.export(tmp_path / "large", tmp_path / "small", tmp_path / "out")
    shutil.copytree(tmp_path / "small", tmp_path / "trained")
    sft.export(tmp_path / "trained", tmp_path / "small", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in (tmp_path / "small").iterdir()
    }


def test_repair_tasks_pair_errors_with_references(solvable):
    rng = np.random.default_rng(0)
    groups = []
    for example in solvable:
        right = right_response("up", example.extra_info())
        groups.append([attempt(example, wrong_response(example, "down")), attempt(example, right)])
        groups.append([attempt(example, "no layout"), attempt(example, wrong_response(example, "up"))])
    assert all(len(repairable(group)) == 1 for group in groups)

    tasks = repair_tasks(groups, rng, answer_share=0.5)
    assert len(tasks) == len(groups)
    assert {task.kind for task in tasks} == {"sibling", "answer"}
    for group, task in zip(groups, tasks, strict=True):
        example = task.attempt.example
        assert not task.attempt.verdict.right
        assert judge(example, task.reference).right
        if task.kind == "answer":
            assert task.reference == text.boxed(example.answer())
        elif group[1].verdict.right:
            assert task.reference == group[1].response
        prompt = task.prompt_text()
        assert task.reference in prompt and task.attempt.response in prompt and prompt.count("<image>") == 1


def test_picture_is_hidden_only_where_the_reference_tells_all(solvable):
    example = solvable[0]
    wrong = attempt(example, wrong_response(example, "down"))
    true = right_response("up", example.extra_info())
    said = words(example)
    row, column = next((i, j) for i in range(3) for j in range(3) if said[i][j] not in example.question.targets)
    said[row][column] = next(word for word in ("red", "green", "blue") if word not in example.question.targets)
    sloppy = text.write_response(said, example.question, "up")
    assert judge(example, sloppy).right
    cases = {true: True, sloppy: sloppy == true, text.boxed(example.answer()): False}
    for reference, tells_all in cases.items():
        task = RepairTask(wrong, reference, "sibling")
        assert reference_tells_all(task) == tells_all
        shown, hidden = (repair_sft_row(task, hidden=hide)["images"][0]["bytes"] for hide in (False, True))
        assert shown == example.png
        assert (hidden == hidden_picture()) == tells_all


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """The part of a sampler that figures need: its tokenizer."""
    tokenizer = save_processor(tmp_path_factory.mktemp("processor"), seed=0).tokenizer
    return SimpleNamespace(tokenizer=tokenizer, decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=True))


def test_figures_of_exact_and_of_useless_repairs(solvable, policy):
    tasks = [
        RepairTask(attempt(example, wrong_response(example, "down"), policy.tokenizer), "unused", "sibling")
        for example in solvable
    ]
    exact = [(*policy.tokenizer.encode(task.attempt.verdict.exact), policy.tokenizer.eos_token_id) for task in tasks]
    figures = evaluate.repair_figures(policy, tasks, exact)
    assert figures["tasks"] == len(tasks)
    assert figures["right"] == figures["exact"] == figures["mask_precision"] == figures["mask_recall"] == 1.0
    assert figures["edit_ratio"] == pytest.approx(figures["exact_edit_ratio"])

    copied = evaluate.repair_figures(policy, tasks, [task.attempt.token_ids for task in tasks])
    assert copied == {"tasks": len(tasks), "right": 0.0, "exact": 0.0}

    other_order = [policy.tokenizer.encode(right_response("up", task.attempt.example.extra_info())) for task in tasks]
    reordered = evaluate.repair_figures(policy, tasks, other_order)
    assert reordered["right"] == 1.0 and reordered["exact"] == 0.0
    assert reordered["edit_ratio"] > figures["edit_ratio"] and reordered["mask_precision"] < 1.0


def test_table_has_a_line_a_row_and_marks_what_is_missing():
    table = evaluate.format_table({"one": {"tasks": 3, "right": 0.5}, "three": {"tasks": 3}}).splitlines()
    assert table[0].split() == ["tasks", "right"]
    assert table[1].split() == ["one", "3", "0.500"]
    assert table[2].split() == ["three", "3", "-"]
