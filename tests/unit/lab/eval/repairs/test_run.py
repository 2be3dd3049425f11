# SPDX-License-Identifier: Apache-2.0
"""Whole evaluations on toy rows with generators that answer from the truth; bad input of every kind."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.unit.lab.eval.recorded import repair_rows, right_response
from verl_df.cli import main
from verl_df.lab import engine
from verl_df.lab.eval.repairs.finished import read_evaluation
from verl_df.lab.eval.repairs.records import FULL
from verl_df.lab.eval.repairs.run import run_repairs
from verl_df.lab.eval.repairs.settings import RepairSettings
from verl_df.lab.eval.repairs.tasks import read_tasks
from verl_df.lab.generation import Response, load_processor, request_seeds
from verl_df.lab.toy.data import examples, rl_row
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.text import boxed
from verl_df.prompts import HIDDEN_REFERENCE

REWARD = "pkg://verl_df.lab.toy.reward"
TRUTH = "pkg://verl_df.lab.toy.truth"
PROMPTS = 4


@pytest.fixture(scope="module")
def toy(model):
    """Per prompt two wrong responses, one with a sibling, one with the bare answer, and the right response."""
    tokenizer = load_processor(str(model)).tokenizer
    chosen = list(examples("repair_val", PROMPTS, ToySettings()))
    right = {(example.question.text, example.png): right_response(example) for example in chosen}
    return {"rows": repair_rows(PROMPTS, tokenizer), "tokenizer": tokenizer, "right": right}


@pytest.fixture
def data(toy, tmp_path):
    path = tmp_path / "tasks.parquet"
    pd.DataFrame(toy["rows"]).to_parquet(path)
    return path


class FakeModel:
    """Answers right with the image; without it right only if `blind`, or copies the reference where it is shown."""

    patch_size = 14

    def __init__(self, toy, blind=False, unfinished=False):
        self.toy, self.blind, self.unfinished, self.calls = toy, blind, unfinished, []

    def generate(self, requests, *, n, temperature, top_p=1.0, max_tokens, seed):
        self.calls.append({"n": n, "temperature": temperature, "seed": seed, "requests": requests, "max": max_tokens})
        return [[self._answer(request)] * n for request in requests]

    def _answer(self, request):
        text = request.messages[-1]["content"]
        seen = np.asarray(request.images[0]).any()
        good = next(good for (question, _), good in self.toy["right"].items() if question in text)
        shown = "The response to the question" in text and HIDDEN_REFERENCE not in text
        answer = good if seen or self.blind or shown else "no idea"
        tokenizer = self.toy["tokenizer"]
        ids = (*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id)
        return Response(ids[:-1] if self.unfinished else ids, answer, not self.unfinished)


def settings(data, model, **changes):
    values = {
        "data": str(data),
        "repair": {"stage 1": str(model)},
        "reward_path": REWARD,
        "truth_path": TRUTH,
        "image_removal": "blank",
        "seeds": 2,
    }
    return RepairSettings(**{**values, **changes})


def evaluate(out, data, model, fake, **changes):
    run_repairs(settings(data, model, **changes), out, lambda _: nullcontext(fake))
    assert main(["repair-eval", "--from", str(out)]) == 0
    return {
        (row["method"], row["decoding"], row["reference_kind"]): row
        for row in json.loads((out / "repair_eval.json").read_text())["figures"]
    }


def estimates(row, *names):
    return [None if row["figures"][name] is None else row["figures"][name]["estimate"] for name in names]


def unique_questions(toy):
    return len({question for question, _ in toy["right"]}) == PROMPTS


def test_perfect_model_beside_the_baselines(data, model, toy, tmp_path, capsys):
    assert unique_questions(toy)  # the fake tells the tasks apart by their questions
    fake = FakeModel(toy)
    rows = evaluate(tmp_path / "out", data, model, fake, policy=str(model), greedy=True)
    assert {(method, decoding) for method, decoding, _ in rows} == {
        ("stage 1", "sampled"),
        ("stage 1", "greedy"),
        ("answer again", "sampled"),
        ("answer again", "greedy"),
        ("copy the reference", "copy"),
    }
    repair = rows["stage 1", "sampled", "all"]
    accuracy = ("acc_at_1", "acc_at_2", "feasible", "mask_precision", "mask_recall", "mask_f1")
    assert estimates(repair, *accuracy) == [1.0] * 6
    assert (repair["tasks"], repair["prompts"], repair["seeds"], repair["samples"]) == (8, 4, 2, 32)
    length = len(toy["rows"][0]["repair_task"]["response_ids"])
    assert estimates(repair, "edit_ratio_chosen")[0] == pytest.approx(1 / length, rel=0.1)
    assert estimates(repair, "survival_hidden", "survival_shown") == [0.0, 1.0]
    assert estimates(rows["answer again", "sampled", "all"], "survival_hidden", "survival_shown") == [0.0, None]
    copied = rows["copy the reference", "copy", "sibling"]
    assert estimates(copied, "acc_at_1", "acc_at_2", "survival_hidden") == [1.0, None, None]
    assert copied["tasks"] == 4 and ("copy the reference", "copy", "answer") not in rows
    assert "| stage 1 | all | 8 | 100.0% [100.0, 100.0] |" in capsys.readouterr().out
    assert (tmp_path / "out/repair_eval.svg").read_text().count('id="points') >= 5


def test_what_the_model_is_asked(data, model, toy, tmp_path):
    fake = FakeModel(toy)
    run_repairs(settings(data, model, n=3, seeds=2, seed=5), tmp_path / "out", lambda _: nullcontext(fake))
    assert [call["n"] for call in fake.calls] == [3] * 6
    assert len({call["seed"] for call in fake.calls}) == 6
    assert [call["seed"] for call in fake.calls[::3]] == [5, 6]
    longest = max(len(row["repair_task"]["response_ids"]) for row in toy["rows"])
    assert {call["max"] for call in fake.calls} == {2 * longest}
    full, hidden, shown = (call["requests"][0] for call in fake.calls[:3])
    wanted = toy["rows"][0]["repair_task"]
    for request in (full, shown):
        assert wanted["reference"] in request.messages[0]["content"]
    assert (
        wanted["reference"] not in hidden.messages[0]["content"] and HIDDEN_REFERENCE in hidden.messages[0]["content"]
    )
    assert wanted["response"] in hidden.messages[0]["content"]
    assert np.asarray(full.images[0]).any()
    assert not np.asarray(hidden.images[0]).any() and not np.asarray(shown.images[0]).any()
    kept = read_evaluation(tmp_path / "out").settings
    assert kept["max_tokens"] == 2 * longest and kept["rows"] == 8 and kept["rows_judged_right"] == 0


def test_policy_is_asked_the_prompt_alone(data, model, toy, tmp_path):
    fake = FakeModel(toy)
    run_repairs(settings(data, model, policy=str(model), seeds=1), tmp_path / "out", lambda _: nullcontext(fake))
    full, hidden = fake.calls[3:]  # after the repair model's three
    assert [request.messages for request in full["requests"]] == [row["prompt"] for row in toy["rows"]]
    assert [request.messages for request in hidden["requests"]] == [row["prompt"] for row in toy["rows"]]
    assert not any(np.asarray(request.images[0]).any() for request in hidden["requests"])


def test_model_that_ignores_the_image_survives_its_removal(data, model, toy, tmp_path):
    rows = evaluate(tmp_path / "out", data, model, FakeModel(toy, blind=True), image_removal="noise")
    assert estimates(rows["stage 1", "sampled", "all"], "survival_hidden", "survival_shown") == [1.0, 1.0]


def test_only_right_answers_are_asked_without_the_image(data, model, toy, tmp_path):
    fake = FakeModel({**toy, "right": {key: "no idea" for key in toy["right"]}})
    row = evaluate(tmp_path / "out", data, model, fake, seeds=1)["stage 1", "sampled", "all"]
    assert len(fake.calls) == 1 and row["rejections"] == {"wrong": 16}
    assert estimates(row, "acc_at_1", "feasible", "survival_hidden") == [0.0, 0.0, None]
    fake = FakeModel(toy)
    run_repairs(settings(data, model, image_removal=None, seeds=1), tmp_path / "off", lambda _: nullcontext(fake))
    assert {sample.condition for sample in read_evaluation(tmp_path / "off").samples} == {FULL}


def test_right_answers_that_are_not_feasible(data, model, toy, tmp_path):
    class Sees(FakeModel):
        def _answer(self, request):
            answer = super()._answer(request)
            image = self.toy["tokenizer"].convert_tokens_to_ids("<|image_pad|>")
            return Response((image, *answer.token_ids), answer.text, True)

    for fake, reason in ((FakeModel(toy, unfinished=True), "unfinished"), (Sees(toy), "placeholder")):
        row = evaluate(tmp_path / reason, data, model, fake, seeds=1)["stage 1", "sampled", "all"]
        assert estimates(row, "acc_at_1", "feasible") == [1.0, 0.0] and row["rejections"] == {reason: 16}


def test_rows_without_an_image(toy, model, tmp_path):
    """Nothing can be taken away from them: right answers are not asked again."""
    rows = [{**row, "prompt": [{"role": "user", "content": "how many?"}]} for row in toy["rows"]]
    pd.DataFrame(rows).drop(columns="images").to_parquet(tmp_path / "tasks.parquet")
    fake = FakeModel(toy)
    fake._answer = lambda request: Response((5,), boxed(rows[0]["reward_model"]["ground_truth"]), request.images == [])
    run_repairs(settings(tmp_path / "tasks.parquet", model, seeds=1), tmp_path / "out", lambda _: nullcontext(fake))
    samples = read_evaluation(tmp_path / "out").samples
    assert len(fake.calls) == 1 and all(one.finished for one in samples) and any(one.reward == 1 for one in samples)


def test_one_model_under_two_names_is_opened_once(data, model, toy, tmp_path):
    opened = []

    def opens(path):
        opened.append(path)
        return nullcontext(FakeModel(toy))

    both = {"a": str(model), "b": str(model)}
    run_repairs(settings(data, model, repair=both, policy=str(model), seeds=1), tmp_path / "out", opens)
    assert opened == [str(model)]
    assert len({one.method for one in read_evaluation(tmp_path / "out").samples}) == 4


def test_goes_on_where_it_was_ended(data, model, toy, tmp_path, monkeypatch, capsys):
    """Killed after every call: samples, and what the model was asked, are those of a run that was not killed."""
    monkeypatch.setattr(engine, "CHUNK", 3)
    policy = tmp_path / "policy"
    policy.symlink_to(model)
    given = settings(data, model, policy=str(policy), greedy=True)
    whole = FakeModel(toy)
    run_repairs(given, tmp_path / "whole", lambda _: nullcontext(whole))

    class Ends(FakeModel):
        def generate(self, *arguments, **named):
            if self.calls:
                raise KeyboardInterrupt
            return super().generate(*arguments, **named)

    out, asked, opened = tmp_path / "out", [], []
    while not (out / "samples.jsonl").exists():
        fake = Ends(toy)

        def opens(path, fake=fake):
            opened.append(path)
            return nullcontext(fake)

        try:
            run_repairs(given, out, opens)
        except KeyboardInterrupt:
            with (out / "samples.jsonl.tmp").open("a") as file:
                file.write('{"schema_version":1,"task_')
        asked += requests_of(fake)
        assert len(fake.calls) == 1
        if len(asked) == 3:
            refuses(capsys, ["--from", out], "holds no samples.jsonl: it is no finished evaluation")
            with pytest.raises(ValueError, match="begun with other settings: n 2 there, 3 now"):
                run_repairs(replace(given, n=3), out, opens)
    assert asked == requests_of(whole)
    assert (out / "samples.jsonl").read_bytes() == (tmp_path / "whole/samples.jsonl").read_bytes()
    assert opened[0] == str(model) and opened[-1] == str(policy)  # a model that has nothing left to do is not opened


def requests_of(fake):
    """Seed and text of everything that a model was asked."""
    return [
        (seed, request.messages[-1]["content"])
        for call in fake.calls
        for request, seed in zip(call["requests"], request_seeds(call["requests"], call["seed"]), strict=True)
    ]


# ---- bad input ------------------------------------------------------------------------------------------------------


def arguments(data, model, out, *more):
    return ["--data", str(data), "--repair", f"a={model}", "--reward-path", REWARD, "--out", str(out), *more]


def refuses(capsys, argv, message):
    assert main(["repair-eval", *map(str, argv)]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and len(error.splitlines()) == 1
    assert message in error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--n", "0"], "--n 0: 1 or more"),
        (["--limit", "-1"], "--limit -1: 1 or more"),
        (["--temperature", "0"], "--greedy"),
        (["--threshold", "0"], "--threshold is 0.0"),
        (["--repair", "a=elsewhere"], "'a' is given twice"),
        (["--repair", "b"], "write NAME=VALUE"),
        (["--repair", "answer again=elsewhere"], "cannot be named answer again"),
        (["--engine", "dtype"], "write NAME=VALUE"),
        (["--repair", "b=/no/such/model"], "/no/such/model: no processor"),
        (["--reward-path", "pkg://no.such.module"], "cannot load 'compute_score'"),
        (["--reward-name", "no_such"], "cannot load 'no_such'"),
        (["--truth-path", TRUTH, "--truth-name", "no_such"], "cannot load 'no_such'"),
        (["--prompt-template", "/no/such/file"], "/no/such/file"),
    ],
)
def test_bad_arguments(data, model, tmp_path, capsys, more, message):
    refuses(capsys, arguments(data, model, tmp_path / "out", *more), message)
    assert not (tmp_path / "out").exists()


def test_arguments_that_must_be_there(capsys):
    refuses(capsys, [], "--data, --repair, --out must be given")


def test_finished_evaluations_and_none(data, model, toy, tmp_path, capsys):
    run_repairs(settings(data, model), tmp_path / "out", lambda _: nullcontext(FakeModel(toy)))
    refuses(capsys, arguments(data, model, tmp_path / "out"), "holds a finished evaluation")
    refuses(capsys, ["--from", tmp_path], "holds no settings.json")
    (tmp_path / "settings.json").write_text("{}")
    refuses(capsys, ["--from", tmp_path], "not the settings")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"repair_task": {"response": "x"}},
            "row 1: repair_task lacks ['response_ids', 'reference', 'reference_kind']",
        ),
        (
            {"repair_task": {"response": "x", "response_ids": [1], "reference": "y", "reference_kind": "neighbour"}},
            "row 1: repair_task.reference_kind='neighbour'",
        ),
        (
            {"repair_task": {"response": "x", "response_ids": [], "reference": "y", "reference_kind": "answer"}},
            "row 1: repair_task.response_ids is empty",
        ),
        ({"images": []}, "row 1: 1 <image> markers for 0 images"),
        ({"images": [{"bytes": b"no picture", "path": None}]}, "row 1: image 0: 10 bytes in no known image format"),
        ({"images": [{"bytes": None, "path": None}]}, "row 1: image 0: it has neither bytes nor path"),
        ({"reward_model": {"style": "rule", "ground_truth": None}}, "row 1: reward_model.ground_truth is missing"),
        ({"prompt": [{"role": "assistant", "content": "<image>"}]}, "row 1: the last message"),
    ],
)
def test_broken_rows_are_named(toy, model, tmp_path, capsys, change, message):
    rows = [toy["rows"][0], {**toy["rows"][1], **change}]
    pd.DataFrame(rows).to_parquet(tmp_path / "tasks.parquet")
    refuses(capsys, arguments(tmp_path / "tasks.parquet", model, tmp_path / "out"), message)


def test_broken_files(toy, tmp_path):
    path = tmp_path / "tasks.parquet"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_tasks(path)
    path.write_text("text")
    with pytest.raises(ValueError, match="no readable parquet file"):
        read_tasks(path)
    for frame, message in (
        (pd.DataFrame([rl_row(next(examples("rl_val", 1, ToySettings())))]), "no column 'repair_task'"),
        (pd.DataFrame(toy["rows"]).iloc[:0], "no rows"),
    ):
        frame.to_parquet(path)
        with pytest.raises(ValueError, match=message):
            read_tasks(path)


def test_equal_rows_get_ids_of_their_own(toy, tmp_path):
    pd.DataFrame([toy["rows"][0]] * 3 + toy["rows"][1:2]).to_parquet(tmp_path / "tasks.parquet")
    tasks = read_tasks(tmp_path / "tasks.parquet").tasks
    first = tasks[0].id
    assert [task.id for task in tasks[:3]] == [first, f"{first}-2", f"{first}-3"]
    assert len({task.record.prompt_id for task in tasks}) == 1 and tasks[3].id not in (first, f"{first}-2")
    assert len(read_tasks(tmp_path / "tasks.parquet", limit=2).tasks) == 2


def test_images_by_path_lie_beside_the_file(toy, tmp_path):
    row = toy["rows"][0]
    (tmp_path / "one.png").write_bytes(row["images"][0]["bytes"])
    pd.DataFrame([{**row, "images": [str(tmp_path / "one.png")]}]).to_parquet(tmp_path / "tasks.parquet")
    pd.DataFrame([row]).to_parquet(tmp_path / "same.parquet")
    by_path, same = (read_tasks(tmp_path / f"{name}.parquet") for name in ("tasks", "same"))
    assert by_path.tasks == same.tasks


def test_another_tokenizer_is_refused(toy, model, tmp_path, capsys):
    rows = [{**row, "repair_task": {**row["repair_task"], "response_ids": [5, 6, 7]}} for row in toy["rows"]]
    pd.DataFrame(rows).to_parquet(tmp_path / "tasks.parquet")
    message = "decodes 8 of 8 response_ids to another text"
    refuses(capsys, arguments(tmp_path / "tasks.parquet", model, tmp_path / "out"), message)


def test_right_responses_are_refused(toy, model, data, tmp_path, capsys, monkeypatch):
    (tmp_path / "lenient.py").write_text("def compute_score(**_):\n    return 1.0\n")
    argv = arguments(data, model, tmp_path / "out", "--reward-path", tmp_path / "lenient.py")
    refuses(capsys, argv, "the reward calls 8 of 8 responses right")


def test_wrong_truth_mask_is_refused(data, model, tmp_path, capsys):
    (tmp_path / "truth.py").write_text("def error_mask(ids, info, tokenizer):\n    return [True]\n")
    argv = arguments(data, model, tmp_path / "out", "--truth-path", tmp_path / "truth.py")
    refuses(capsys, argv, "row 0: the truth function marked 1 tokens")
