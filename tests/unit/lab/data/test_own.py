# SPDX-License-Identifier: Apache-2.0
"""One's own questions with images, as JSON lines."""

import base64
import json

import pytest

from tests.unit.lab.data.support import picture, rows_of, run, text_of, write_lines
from verl_df.lab.data.prompts import BOXED, BOXED_CHOICE


def line(**changes):
    plain = {"id": "17", "image": "a.png", "question": "How many?", "answer": "3"}
    return {key: value for key, value in {**plain, **changes}.items() if value is not ...}


@pytest.fixture
def convert(tmp_path):
    """Convert rows of mine.jsonl, beside which lie a.png and b.png; the exit code, and the rows or []."""
    for number, name in enumerate(("a.png", "b.png")):
        (tmp_path / name).write_bytes(picture(number))

    def converted(rows, *more):
        file = write_lines(tmp_path / "mine.jsonl", rows)
        code = run("convert", "jsonl", "--from", file, "--name", "mine", "--out", tmp_path / "out", *more)
        result = tmp_path / "out/mine_train.parquet"
        return code, rows_of(result) if result.exists() else []

    return converted


def reasons(tmp_path) -> list[tuple[str, str, str]]:
    lines = (tmp_path / "out/mine_train.dropped.jsonl").read_text().splitlines()
    return [(row["where"], row["reason"], row["detail"]) for row in map(json.loads, lines)]


def test_images_by_name_url_and_base64(convert) -> None:
    text = base64.b64encode(picture(5)).decode()
    code, rows = convert(
        [
            line(),
            line(image=..., images=["b.png", {"path": "a.png"}], question="Is <image> like <image>?"),
            line(image=..., images=[f"data:image/png;base64,{text}", text], id=...),
        ]
    )
    assert code == 0
    assert [text_of(row) for row in rows] == [
        f"<image>How many?\n{BOXED}",
        f"Is <image> like <image>?\n{BOXED}",
        f"<image><image>How many?\n{BOXED}",
    ]
    pictures = [[image["bytes"] for image in row["images"]] for row in rows]
    assert pictures == [[picture(0)], [picture(1), picture(0)], [picture(5), picture(5)]]
    assert [row["extra_info"]["id"] for row in rows] == ["17", "17", "train_2"]
    assert rows[0]["data_source"] == "mine" and rows[0]["reward_model"]["ground_truth"] == "3"


@pytest.mark.parametrize(("answer", "letter"), [("B", "B"), ("two cats", "B"), (" A ", "A")])
def test_choices_are_listed_and_answered_by_letter_or_text(convert, answer, letter) -> None:
    code, (row,) = convert([line(choices=["a cat", "two cats"], answer=answer)])
    assert text_of(row) == f"<image>How many?\nChoices:\n(A) a cat\n(B) two cats\n{BOXED_CHOICE}"
    assert row["reward_model"]["ground_truth"] == letter
    assert row["extra_info"]["choices"] == ["a cat", "two cats"] and row["extra_info"]["answer"] == answer


def test_what_is_dropped_is_told_with_its_line(convert, tmp_path) -> None:
    code, rows = convert(
        [
            line(image="c.png"),
            line(images=[], image=...),
            line(image=...),
            line(images=["a.png"], image=..., question="<image> or <image>?"),
            line(choices=["a", "b"], answer="C"),
            line(choices=["B", "A"], answer="A"),
            line(choices=["a", "a"], answer="a"),
            line(answer=""),
            line(answer=["3"]),
            line(question=None),
            line(images="a.png", image=...),
            line(answer=3),
        ]
    )
    assert code == 0 and [row["extra_info"]["index"] for row in rows] == [11]
    assert reasons(tmp_path) == [
        ("mine.jsonl, line 1", "image does not open", f"{tmp_path / 'c.png'}: no such file"),
        ("mine.jsonl, line 2", "no image", ""),
        ("mine.jsonl, line 3", "no image", ""),
        (
            "mine.jsonl, line 4",
            "images and markers differ",
            "2 <image> markers for 1 images",
        ),
        ("mine.jsonl, line 5", "answer is not one of the choices", "'C' is neither letter nor text of a choice"),
        ("mine.jsonl, line 6", "answer is not one of the choices", "'A' names more than one choice"),
        ("mine.jsonl, line 7", "answer is not one of the choices", "'a' names more than one choice"),
        ("mine.jsonl, line 8", "no answer", ""),
        ("mine.jsonl, line 9", "row is not of the source's form", "answer is ['3'], not a text"),
        ("mine.jsonl, line 10", "no question", ""),
        ("mine.jsonl, line 11", "row is not of the source's form", "images is 'a.png', not a list"),
    ]


def test_odd_numbers_and_half_characters_are_missing_or_told(convert, tmp_path) -> None:
    nan, half = float("nan"), "\ud800"
    odd = [line(answer=nan), line(answer=-float("inf")), line(question=half), line(id=half), line(image=half)]
    code, rows = convert([*odd, line(choices=["a", half], answer="A"), line(id=nan, choices=nan)])
    assert code == 0 and [row["extra_info"]["id"] for row in rows] == ["train_6"]
    other, spelled = "row is not of the source's form", "holds half a surrogate pair, '\\ud800', at character 0"
    assert [found[1:] for found in reasons(tmp_path)] == [
        ("no answer", ""),
        (other, "answer is -inf, not a text"),
        (other, f"question {spelled}"),
        (other, f"id {spelled}"),
        ("image does not open", f"{tmp_path / '{}'}: no such file".format("\\ud800")),
        (other, f"choices {spelled}"),
    ]


def test_line_ends_and_a_byte_order_mark(tmp_path, capsys) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    rows, path = [json.dumps(line()) for _ in range(2)], tmp_path / "own.jsonl"
    for number, content in enumerate(
        ("\r\n".join(rows), "\ufeff" + "\n".join(rows), "\r\n" + "\r\n".join(rows) + "\r\n")
    ):
        path.write_text(content, encoding="utf-8", newline="")
        assert run("convert", "jsonl", "--from", path, "--name", f"own{number}", "--out", tmp_path) == 0
        assert len(rows_of(tmp_path / f"own{number}_train.parquet")) == 2
    path.write_text("\r".join(rows), newline="")
    assert run("convert", "jsonl", "--from", path, "--name", "mac", "--out", tmp_path) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {path}, line 1: ")


def test_further_keys_must_be_named(convert, capsys) -> None:
    rows = [line(), line(level=2, anwser="3")]
    assert convert(rows)[0] == 1
    assert capsys.readouterr().err.endswith(
        "error: mine.jsonl, line 2: unknown key 'anwser' (known: id, image, images, question, answer, choices); "
        "--carry anwser takes it into extra_info\n"
    )
    code, written = convert([line(), line(level=2)], "--carry", "level")  # nothing was written yet: it may differ
    assert code == 0 and [row["extra_info"]["level"] for row in written] == ["", "2"]


def test_preference_data_bring_a_preferred_response(convert, tmp_path) -> None:
    pairs = [
        line(chosen="1, 2, so \\boxed{3}", rejected="4"),
        line(chosen="", rejected="4"),
        line(chosen="see <image>", rejected="4"),
        line(chosen=[{"role": "assistant", "content": "3"}], rejected="4"),
    ]
    code, rows = convert(pairs, "--preferred", "chosen", "--carry", "rejected")
    assert code == 0 and len(rows) == 1
    assert rows[0]["extra_info"]["preferred_response"] == "1, 2, so \\boxed{3}"
    assert rows[0]["extra_info"]["rejected"] == "4" and "chosen" not in rows[0]["extra_info"]
    assert [(where, reason) for where, reason, _ in reasons(tmp_path)] == [
        ("mine.jsonl, line 2", "no preferred response"),
        ("mine.jsonl, line 3", "no preferred response"),
        ("mine.jsonl, line 4", "row is not of the source's form"),
    ]


def test_a_smaller_image_can_be_refused(convert, tmp_path) -> None:
    (tmp_path / "small.png").write_bytes(picture(size=(40, 20)))
    code, rows = convert([line(image="small.png"), line()], "--min-side", 28)
    assert len(rows) == 1
    assert reasons(tmp_path) == [("mine.jsonl, line 1", "image is too small", "image 0: 40 x 20 pixels, wanted 28")]


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([line(images=["a.png"])], [], "mine.jsonl, line 1: both 'image' and 'images': give one of them"),
        ([line(answer=...)], [], "line 1: no 'answer' (it has id, image, question): is this mine?"),
        ([line()], ["--carry", "split"], "--carry split: extra_info has this key already"),
        ([line()], ["--preferred", "chosen"], "line 1: no 'chosen' (it has id, image, question, answer)"),
        ([line(chosen="3", rejected="4")], ["--preferred", "chosen"], "line 1: unknown key 'rejected'"),
        ([line()], ["--preferred", "answer"], "--preferred answer: this key has its own meaning"),
        ([line()], ["--preferred", "a", "--carry", "a"], "--carry a: extra_info has this key already"),
        ([line()], ["--name", "mmmu"], "--name mmmu: the name of a public source"),
        ([line()], ["--name", "a/b"], "--name 'a/b': letters, digits"),
        ([line()], ["--prompt", "published"], "mine is training data without a published prompt"),
        ([], [], "none of 0 rows could be kept (the source is empty)"),
    ],
)
def test_bad_input(convert, rows, arguments, message, capsys) -> None:
    assert convert(rows, *arguments)[0] == 1
    assert message in capsys.readouterr().err


def test_file_and_name_are_needed(tmp_path, capsys) -> None:
    assert run("convert", "jsonl", "--out", tmp_path) == 1
    assert "jsonl: --from (your file) and --name (its data_source) must be given" in capsys.readouterr().err
