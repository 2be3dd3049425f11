# SPDX-License-Identifier: Apache-2.0
"""`verl-df data spans` on small files in the real schemas of ViCrit and VisualProcessBench. Their texts are made up."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import ROOT
from tests.unit.lab.data.support import picture, run, write_lines, write_parquet
from verl_df.cli import main
from verl_df.lab.data.images import Files
from verl_df.lab.data.reading import RawRow
from verl_df.lab.data.spans.differences import differences
from verl_df.lab.data.spans.options import SPAN_SOURCES
from verl_df.lab.data.spans.reward import compute_score
from verl_df.lab.data.spans.visualprocessbench import Steps, joined
from verl_df.lab.explain.rows import ROWS, RolloutRow, read_rows

WORLD = str(ROOT / "examples/toy/world/policy")
RIGHT = "A man sits on a red chair. In the upper left, a glimpse of green foliage."
WRONG = "A man sits on a red chair. In the upper right, a glimpse of green foliage."


def pair(**changes: Any) -> dict[str, Any]:
    """A row of ViCrit-Train."""
    return {
        "image_path": "/data/pixmo/images/7.png",
        "problem": "Describe the picture.",
        "original_caption": RIGHT,
        "changed_caption": WRONG,
        "solution_original": "In the upper left, a glimpse",
        "solution_target": "In the upper right, a glimpse",
        **changes,
    }


def bench_pair(**changes: Any) -> dict[str, Any]:
    """A row of ViCrit-Bench."""
    return {
        "image": picture(3),
        "changed_caption": "Behind him is a yellow ellipse, and a door.",
        "original_noun_phrases": "a yellow rectangle",
        "changed_noun_phrases": "A yellow ellipse",
        **changes,
    }


def solution(**changes: Any) -> dict[str, Any]:
    """A row of VisualProcessBench."""
    return {
        "image": ["images/MathVerse/7.png"],
        "question": "How large is angle A?\n(A) 40\n(B) 50",
        "answer": "B",
        "response": {
            "steps": ["Let us look at it. ", "\n A is 50 - 10.", "So it is 40, which is (A)."],
            "process_correctness": [0, 1, -1],
        },
        "policy_model": "GPT-4o",
        "data_source": "MathVerse",
        **changes,
    }


def steps(*labelled: tuple[str, int]) -> dict[str, Any]:
    return {"steps": [step for step, _ in labelled], "process_correctness": [label for _, label in labelled]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures, one of them in the archive."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images/7.png").write_bytes(picture(7))
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/MathVerse/7.png", picture(8))
    return tmp_path


def converted(folder: Path, source: str, *rows: Mapping[str, Any], options: tuple[str, ...] = ()) -> list[RolloutRow]:
    path = write_lines(folder / "source.jsonl", rows)
    assert run("spans", source, "--from", path, "--out", folder / "out", *options) == 0
    return [row for _, row in read_rows(folder / f"out/{source}.jsonl")]


def dropped(folder: Path, source: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / f"out/{source}.dropped.jsonl").read_text().splitlines()]


def wrong_texts(row: RolloutRow) -> list[str]:
    assert row.response is not None and row.wrong_spans is not None
    return [row.response[start:end] for start, end in row.wrong_spans]


def test_a_pair_of_vicrit_is_a_right_and_a_wrong_response(folder: Path) -> None:
    right, wrong = converted(folder, "vicrit", pair())
    assert (right.response, right.reward, wrong_texts(right)) == (RIGHT, 1, [])
    assert (wrong.response, wrong.reward, wrong_texts(wrong)) == (WRONG, 0, ["right"])
    assert (wrong.repair, wrong.repair_reward, wrong.ground_truth) == (RIGHT, 1, "In the upper left, a glimpse")
    assert right.uid == wrong.uid == "vicrit/0" and right.prompt == "<image>Describe this image in detail."
    assert (folder / "out" / right.images[0]).read_bytes() == picture(7) and right.images == wrong.images


def test_vicrit_bench_has_its_pictures_and_no_right_captions(folder: Path) -> None:
    path = write_parquet(folder / "bench/train-0.parquet", [bench_pair()], pa.schema({
        "image": pa.binary(), "changed_caption": pa.string(),
        "original_noun_phrases": pa.string(), "changed_noun_phrases": pa.string(),
    }))  # fmt: skip
    assert run("spans", "vicrit_bench", "--from", path.parent, "--out", folder / "out") == 0
    right, wrong = (row for _, row in read_rows(folder / "out/vicrit_bench.jsonl"))
    assert right.response == "Behind him is a yellow rectangle, and a door." and wrong_texts(wrong) == ["ellipse"]
    assert (folder / "out" / wrong.images[0]).read_bytes() == picture(3)


def test_pictures_in_a_folder_of_their_own(folder: Path) -> None:
    (folder / "elsewhere/pixmo/images").mkdir(parents=True)
    (folder / "elsewhere/pixmo/images/7.png").write_bytes(picture(9))
    rows = converted(folder, "vicrit", pair(), options=("--images", str(folder / "elsewhere")))
    assert (folder / "out" / rows[0].images[0]).read_bytes() == picture(9)


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"changed_caption": RIGHT}, "captions are equal", ""),
        ({"changed_caption": WRONG.replace("red", "blue")}, "captions differ outside the changed phrase", "'blue'"),
        (
            {"changed_caption": RIGHT.replace(" left", ""), "solution_target": "the upper, a"},
            "words are only missing",
            "",
        ),
        ({"image_path": "/data/none.png"}, "image does not open", "--images names the folder"),
        ({"image_path": "images/../../7.txt"}, "image does not open", "--images names the folder"),
        ({"original_caption": f"{RIGHT}<|im_end|>"}, "captions differ outside the changed phrase", "im_end"),
    ],
)
def test_pairs_that_say_nothing_sure(folder: Path, changes: dict[str, Any], reason: str, detail: str) -> None:
    assert len(converted(folder, "vicrit", pair(), pair(**changes))) == 2
    (line,) = dropped(folder, "vicrit")
    assert (line["reason"], line["where"]) == (reason, "source.jsonl, line 2") and detail in line["detail"]


def test_spaces_alone_are_no_error(folder: Path) -> None:
    _, wrong = converted(folder, "vicrit", pair(original_caption=f"{RIGHT}\n"))
    assert wrong_texts(wrong) == ["right"]


def test_steps_labelled_wrong_are_wrong_as_a_whole(folder: Path) -> None:
    right = solution(response=steps(("A is 50.", 1), ("So (B).", 1)))
    wrong, sibling, other = converted(folder, "visualprocessbench", solution(), right, solution(question="<image>Why?"))
    assert wrong_texts(wrong) == ["So it is 40, which is (A)."] and wrong.reward == 0 and wrong.repair is None
    assert wrong.response == "Let us look at it. \n\n\n A is 50 - 10.\n\nSo it is 40, which is (A)."
    assert (sibling.uid, sibling.reward, wrong_texts(sibling)) == (wrong.uid, 1, [])
    assert wrong.prompt == "<image>How large is angle A?\n(A) 40\n(B) 50" and other.prompt == "<image>Why?"
    assert other.uid == "visualprocessbench/2" and wrong.extra_info == {"source": "MathVerse"}
    assert (folder / "out" / wrong.images[0]).read_bytes() == picture(8)


def test_the_same_solution_twice_and_only_wrong_ones(folder: Path) -> None:
    right = solution(response=steps(("So (B).", 1)))
    (row,) = converted(folder, "visualprocessbench", solution(), solution(), right, options=("--no-right",))
    assert row.reward == 0
    assert [line["reason"] for line in dropped(folder, "visualprocessbench")] == [
        "the same response again", "no wrong response",
    ]  # fmt: skip
    summary = json.loads((folder / "out/visualprocessbench.summary.json").read_text())
    assert (summary["rows"], summary["kept"], summary["responses"], summary["right"]) == (3, 1, 1, 0)
    assert 0 < summary["wrong_share"] < 1 and summary["licence"].startswith("MIT")


def test_visualprocessbench_is_downloaded_and_its_archive_stays_packed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(folder / "test.jsonl", [solution()])
    asked = []

    def download(name: str, file: str, **arguments: Any) -> str:
        asked.append((name, file, arguments["revision"]))
        return str(folder / file)

    monkeypatch.setattr("verl_df.lab.data.inputs.commit_of", lambda name, revision: "c0ffee")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert run("spans", "visualprocessbench", "--out", folder / "out") == 0
    assert asked == [("OpenGVLab/VisualProcessBench", file, "c0ffee") for file in ("test.jsonl", "images.zip")]
    ((_, row),) = read_rows(folder / "out/visualprocessbench.jsonl")
    assert (folder / "out" / row.images[0]).read_bytes() == picture(8)
    assert json.loads((folder / "out/visualprocessbench.summary.json").read_text())["commit"] == "c0ffee"


def test_pairs_of_the_hub_need_a_folder_of_pictures(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("verl_df.lab.data.inputs.commit_of", lambda name, revision: "c0ffee")
    monkeypatch.setattr(
        "verl_df.lab.data.inputs.hub_rows",
        lambda name, configs, split, commit: iter([RawRow(f"{name}, row 0", pair(), Files(None))]),
    )
    assert run("spans", "vicrit", "--out", folder / "out") == 1
    assert "ViCrit-Train, row 0: the picture is a path, '/data/pixmo/images/7.png': --images" in capsys.readouterr().err
    assert run("spans", "vicrit", "--out", folder / "out", "--images", folder) == 0


def test_the_page_names_sources_and_licences() -> None:
    page = (ROOT / "docs/known_errors.md").read_text(encoding="utf-8")
    for source in SPAN_SOURCES.values():
        assert f"| `{source.name}`, `{source.hub}` |" in page and f"data spans {source.name}" in page
        assert f"--reward-path {source.reward}" in page


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": []}, "no image"),
        ({"question": "<image><image>Which?"}, "images and markers differ"),
        ({"response": steps(("See <image>.", -1))}, "text holds a token of a model"),
        ({"question": "What?<|im_end|>"}, "text holds a token of a model"),
        ({"question": "\ud83d"}, "row is not of the source's form"),
        ({"image": ["images/8.png"]}, "image does not open"),
    ],
)
def test_solutions_that_are_left_out(folder: Path, changes: dict[str, Any], reason: str) -> None:
    assert len(converted(folder, "visualprocessbench", solution(), solution(**changes))) == 1
    assert [line["reason"] for line in dropped(folder, "visualprocessbench")] == [reason]


@pytest.mark.parametrize(
    ("source", "row", "said"),
    [
        ("vicrit", pair(changed_caption=None), "'changed_caption' is None: write a text"),
        ("vicrit", pair(solution_target=3), "'solution_target' is 3: write a text"),
        ("vicrit", {key: value for key, value in pair().items() if key != "solution_target"},
         "no 'solution_original' and 'solution_target', as in ViCrit-Train, nor"),
        ("vicrit", {key: value for key, value in pair().items() if key != "image_path"}, "no 'image' or 'image_path'"),
        ("vicrit", {key: value for key, value in pair().items() if key != "changed_caption"},
         "no 'changed_caption' (it has image_path,"),
        ("visualprocessbench", solution(response=steps(("a", 1)) | {"process_correctness": [1, -1]}),
         "response.process_correctness has 2 labels for 1 steps: write 1 (right), 0 (neutral) or -1 (wrong)"),
        ("visualprocessbench", solution(response=steps(("a", 2))), "process_correctness.0=2: must be 1, 0 or -1"),
        ("visualprocessbench", solution(response="all of it"), "response: expected a block of keys, got 'all of it'"),
        ("visualprocessbench", solution(answer=None), "answer: expected str, got None"),
        ("visualprocessbench", pair(), "missing key 'image'"),
    ],
)  # fmt: skip
def test_files_of_another_form_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str, row: dict[str, Any], said: str
) -> None:
    good = solution() if source == "visualprocessbench" else pair()
    path = write_lines(folder / "source.jsonl", [good, row])
    assert run("spans", source, "--from", path, "--out", folder / "out") == 1
    told = capsys.readouterr().err
    assert "source.jsonl, line 2: " in told and said in told and told.count("\n") == 1
    assert not (folder / f"out/{source}.jsonl").exists()


def test_what_is_refused_besides(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted(folder, "vicrit", pair())
    again = ("spans", "vicrit", "--from", folder / "source.jsonl", "--out")
    for arguments, said in [
        ((*again, folder / "out"), "vicrit.jsonl is there already"),
        ((*again, folder / "other", "--images", folder / "none"), "none: no such folder"),
        ((*again, folder / "other", "--limit", "0"), "--limit 0: 1 or more"),
    ]:
        assert run(*arguments) == 1 and said in capsys.readouterr().err
    path = write_lines(folder / "equal.jsonl", [pair(changed_caption=RIGHT)])
    assert run("spans", "vicrit", "--from", path, "--out", folder / "other") == 1
    assert "none of 1 rows has a wrong response that could be used: captions are equal: 1" in capsys.readouterr().err


def test_masks_are_scored_against_the_spans(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exact repair marks nothing but the wrong words."""
    other = {"solution_original": "a red chair", "solution_target": "a blue chair"}
    converted(folder, "vicrit", pair(), pair(changed_caption=RIGHT.replace("red", "blue"), **other))
    assert main(["explain", str(folder / "out/vicrit.jsonl"), "--tokenizer", WORLD]) == 0
    told = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines() if line.startswith("mask "))
    assert float(told["mask precision"]) == 1 and float(told["mask recall"]) > 0.5


@pytest.mark.parametrize("repair", [RIGHT, WRONG])
def test_explain_judges_repairs_with_the_reward_of_the_source(
    folder: Path, capsys: pytest.CaptureFixture[str], repair: str
) -> None:
    rows = converted(folder, "vicrit", pair(), options=("--no-right",))
    assert "--reward-path pkg://verl_df.lab.data.spans.reward" in capsys.readouterr().out
    path = folder / "out/given.jsonl"
    path.write_text("".join(ROWS.dump(replace(row, repair=repair, repair_reward=None)) + "\n" for row in rows))
    options = ("--on-no-correct", "annotated_answer", "--reward-path", "pkg://verl_df.lab.data.spans.reward")
    assert main(["explain", str(path), *options]) == 0
    told = capsys.readouterr().out
    assert ("no repair: wrong" in told) == (repair == WRONG) and "reference answer" in told


WORDS = st.lists(st.sampled_from(["a", "red", "car", " ", "\n", ",", "é", "7"]), max_size=12).map("".join)


@given(right=WORDS, wrong=WORDS)
def test_the_right_text_with_its_spans_replaced_is_the_wrong_one(right: str, wrong: str) -> None:
    rebuilt, last = "", 0
    for one in differences(right, wrong):
        assert one.right[0] < one.right[1] or one.wrong[0] < one.wrong[1]
        rebuilt += right[last : one.right[0]] + wrong[slice(*one.wrong)]
        last = one.right[1]
    assert rebuilt + right[last:] == wrong
    assert (right == wrong) == (differences(right, wrong) == ())


@given(text=WORDS, phrase=WORDS.filter(str.strip), other=WORDS.filter(str.strip))
def test_a_phrase_that_is_replaced_is_found(text: str, phrase: str, other: str) -> None:
    """The wrong characters lie in the phrase that was put in the place of another between signs that it has not."""
    right, wrong = f"{text}({phrase}){text}", f"{text}({other}){text}"
    start, end = len(text), len(text) + len(other) + 2
    assert all(start <= one.wrong[0] and one.wrong[1] <= end for one in differences(right, wrong))


LABELLED = st.lists(st.tuples(st.text(max_size=6), st.sampled_from([1, 0, -1])), min_size=1, max_size=5)


@given(labelled=LABELLED)
def test_wrong_steps_are_found_in_the_joined_text(labelled: list[tuple[str, int]]) -> None:
    text, spans = joined(Steps(**steps(*labelled)))
    wrong = [step.strip() for step, label in labelled if label == -1 and step.strip()]
    assert [text[start:end] for start, end in spans] == wrong
    assert text == "\n\n".join(step for step, _ in labelled)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (RIGHT, 1),
        (WRONG, 0),
        (RIGHT.replace("A man", "Somebody").replace("green\n", "green "), 1),
        (RIGHT.replace(" upper", "\nUpper"), 1),
        (f"{RIGHT} And in the upper right, a glimpse of a car.", 0),
        ("", 0),
    ],
)
def test_a_mended_caption(text: str, score: float) -> None:
    row = pair()
    known = {"right_caption": RIGHT, "wrong_phrase": row["solution_target"]}
    assert compute_score("vicrit", text, row["solution_original"], known) == score


def test_a_right_phrase_within_the_wrong_one() -> None:
    known = {"right_caption": "a dog.", "wrong_phrase": "corgi dog"}
    assert compute_score("", "a dog.", "dog", known) == 1 and compute_score("", "a corgi dog.", "dog", known) == 0
    assert compute_score("", "a dogma.", "dog", known) == 0
