# SPDX-License-Identifier: Apache-2.0
"""Scores of lmms-eval. A package of its name stands in for it, with the functions that are called and known results."""

import sys
from pathlib import Path

import pytest

from tests.unit.lab.eval.support import finished
from verl_df.cli import main
from verl_df.lab.eval.figures import cell, parse_run
from verl_df.lab.eval.finished import scores_file
from verl_df.lab.eval.library import document
from verl_df.lab.eval.records import PROBLEMS, SAMPLES, SCORES, Problem, Sample

# What a task's functions are called with and give, as in lmms-eval 0.7.3.
STAND_IN = {
    "mathvista": """
def mathvista_process_results(doc, results):
    print("a library may print")
    answer = "" if results[0] == "fails" else results[0]
    return {"llm_as_judge_eval": {"true_false": answer == doc["answer"], "extraction": answer}}
""",
    "mathverse": """
class server:
    @staticmethod
    def evaluate_binary(question, answer, prediction, output_format):
        assert (question, output_format) == ("Which?", "0/1")
        return {"result": int(answer == prediction), "success": prediction != "fails"}
class mathverse_evaluator:
    server = server
""",
    "mmmu": """
import random
def mmmu_process_results(doc, results):
    parsed = results[0] if results[0] in "ABCD" else random.choice("ABCD")
    return {"mmmu_acc": {"id": doc["id"], "answer": doc["answer"], "parsed_pred": [parsed]}}
def evaluate_mmmu(samples):
    (one,) = samples
    return {one["id"]: "Correct" if one["parsed_pred"] == [one["answer"]] else "Wrong"}, {}
""",
    "mathvision": """
def mathvision_process_results(doc, results):
    return {"mathvision_standard_eval": {"scores": [results[0] == doc["answer"] and doc["options"] == ["1", "2"]]}}
""",
    "mmstar": """
import os
def exact_match(prediction, truth):
    if prediction == "dies":
        os._exit(9)
    return float(prediction[0] == truth)
""",
    "ai2d": """
class MultiChoiceRegexFilter:
    def apply(self, responses, docs):
        return [own[0].removesuffix(".") for own in responses]
def ai2d_doc_to_target(doc, kind):
    assert kind == "mcq"
    return "ABCD"[doc["answer"]]
""",
    "metrics": """
def exact_match_hf_evaluate(predictions, references, ignore_case, ignore_punctuation):
    assert ignore_case and ignore_punctuation
    return {"exact_match": float(predictions == references)}
""",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """A Python that has the stand-in."""
    root = tmp_path_factory.mktemp("lmms")
    for name, text in STAND_IN.items():
        path = root / ("lmms_eval/api/metrics.py" if name == "metrics" else f"lmms_eval/tasks/{name}/utils.py")
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (root / "lmms_eval-0.0.9.dist-info").mkdir()
    (root / "lmms_eval-0.0.9.dist-info/METADATA").write_text("Name: lmms_eval\nVersion: 0.0.9\n")
    script = root / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} "$@"\n')
    script.chmod(0o755)
    return str(script)


def evaluation(root: Path, *rows: tuple[str, str, dict, list[str]]) -> Path:
    """A finished evaluation of rows (data source, ground truth, extra_info, one response a problem)."""
    sources = dict.fromkeys(source for source, *_ in rows)
    finished(root, {source: {0: [[0]]} for source in sources})
    problems, samples = [], []
    for source, truth, extra, texts in rows:
        for text in texts:
            name = f"p{len(problems)}"
            problems.append(Problem(source, name, len(problems), source, "<image>Q", truth, extra))
            samples.append(Sample(source, name, 0, 0, text, 1, True, None, 0.0))
    PROBLEMS.write(root / "problems.jsonl", problems)
    SAMPLES.write(root / "samples.jsonl", samples)
    return root


def run(root: Path, python: str, *more: str) -> int:
    return main(["eval", "score", "--run", str(root), "--python", python, "--workers", "2", *more])


VISTA = {"question_type": "multi_choice", "answer_type": "text", "choices": ["x", "y"], "answer": "y", "precision": 0}
VERSE = {"question_type": "multi-choice", "question_for_eval": "Which?", "answer": "C"}


@pytest.fixture
def judge(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_API_URL", "MODEL_VERSION"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")


def test_all_six(tmp_path, python, judge, capsys):
    root = evaluation(
        tmp_path / "x",
        ("mathvista", "B", VISTA, ["y", "x"]),
        ("mathverse", "C", VERSE, [" C ", "D"]),
        ("mmmu", "B", {"question_type": "multiple-choice", "choices": ["x", "y"], "answers": []}, ["B", "C"]),
        ("mathvision", "B", {"choices": ["1", "2"], "question": "Q"}, ["B", "A"]),
        ("mmstar", "D", {"choices": []}, ["D", "A"]),
        ("ai2d", "C", {"choices": ["x", "y", "z"], "answer": "2"}, ["C.", "B"]),
    )
    assert run(root, python) == 0
    page = capsys.readouterr().out
    assert "# Scores of lmms-eval 0.0.9" in page and "| MathVista | 0.0% | 50.0% | 50.0% |" in page
    scores = {score.problem: score for score in SCORES.read(scores_file(root, "lmms_eval"))}
    assert [scores[f"p{number}"].score for number in range(12)] == [1.0, 0.0] * 6
    assert (scores["p1"].extracted, scores["p2"].extracted, scores["p10"].extracted) == ("x", None, "C")
    assert cell(parse_run(f"x={root}", "lmms_eval"), "ai2d").mean == 0.5


def test_failed_calls_are_no_scores_and_are_asked_again(tmp_path, python, judge, capsys):
    root = evaluation(
        tmp_path / "x", ("mathverse", "C", VERSE, ["C", "fails"]), ("mathvista", "B", VISTA, ["fails", "y"])
    )
    assert run(root, python) == 1
    assert "2 of 4 responses have no score (RuntimeError: the language model" in capsys.readouterr().err
    path = scores_file(root, "lmms_eval")
    assert {score.problem for score in SCORES.read(path)} == {"p0", "p3"}
    samples = list(SAMPLES.read(root / "samples.jsonl"))
    SAMPLES.write(root / "samples.jsonl", [Sample(**{**vars(one), "text": "C"}) for one in samples])
    before = path.read_text()
    assert run(root, python) == 0
    assert path.read_text().startswith(before) and len(list(SCORES.read(path))) == 4


def test_random_letters_come_from_the_seed(tmp_path, python):
    extra = {"question_type": "multiple-choice", "choices": list("wxyz"), "answers": []}
    roots = [evaluation(tmp_path / name, ("mmmu", "B", extra, ["no idea"] * 8)) for name in "ab"]
    assert [run(root, python) for root in roots] == [0, 0]
    drawn = [sorted((s.problem, s.extracted) for s in SCORES.read(r / "scores.lmms_eval.jsonl")) for r in roots]
    assert drawn[0] == drawn[1] and len({letter for _, letter in drawn[0]}) > 1


def test_documents():
    choice = Problem("m", "validation_Art_3", 3, "mmmu", "<image>Q", "B", {"question_type": "multiple-choice",
                     "choices": ["a'b", "c"], "answers": []})  # fmt: skip
    assert document(choice) == {
        "id": "validation_Art_3",
        "options": "[\"a'b\", 'c']",
        "answer": "B",
        "question_type": "multiple-choice",
    }
    opened = Problem("m", "7", 3, "mmmu", "Q", "1", {"question_type": "open", "choices": [], "answers": ["1", "one"]})
    assert (document(opened)["id"], document(opened)["answer"]) == ("validation_Unknown_3", ["1", "one"])
    vista = document(Problem("v", "9", 0, "mathvista", "<image>Hint: ...", "B", VISTA))
    assert (vista["query"], vista["answer"], vista["precision"], vista["pid"]) == ("Hint: ...", "y", 0, "9")
    assert document(Problem("a", "1", 0, "ai2d", "Q", "D", {"choices": list("wxyz"), "answer": "3"}))["answer"] == 3


def test_refusals(tmp_path, python, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    root = evaluation(tmp_path / "x", ("mathverse", "C", VERSE, ["C"]))
    assert run(root, python) == 1
    assert "MathVerse need a language model: export OPENAI_API_KEY" in capsys.readouterr().err
    root = evaluation(tmp_path / "y", ("geometry3k", "C", {}, ["C"]))
    assert run(root, python) == 1
    assert "lmms-eval does not score the data source 'geometry3k'" in capsys.readouterr().err
    root = evaluation(tmp_path / "z", ("mmstar", "C", {"choices": []}, ["C"]))
    for wrong, message in ((str(tmp_path / "none"), "No such file"), (sys.executable, "cannot be imported there")):
        assert run(root, wrong) == 1
        assert message in capsys.readouterr().err
    assert main(["eval", "score", "--run", str(root), "--python", python, "--workers", "0"]) == 1


def test_a_process_that_died_is_told(tmp_path, python, capsys):
    root = evaluation(tmp_path / "x", ("mmstar", "D", {"choices": []}, ["D", "dies", "A"]))
    assert run(root, python) == 1
    assert "of 3 responses have no score (the process of lmms-eval has ended)" in capsys.readouterr().err
    assert len(list(SCORES.read(scores_file(root, "lmms_eval")))) < 3
