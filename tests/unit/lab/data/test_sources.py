# SPDX-License-Identifier: Apache-2.0
"""Each source's row in its real schema, against prompts and answers written by hand."""

from zipfile import ZipFile

import pytest

from tests.unit.lab.data.support import ROWS, cell, checked_sample, drop_of, picture, sample_of
from verl_df.lab.data.images import Files
from verl_df.lab.data.prompts import BOXED, BOXED_CHOICE, compose
from verl_df.lab.data.sources import SOURCES
from verl_df.rows.faults import Reason

LETTER = "Answer with the option's letter from the given choices directly."


def test_geometry3k() -> None:
    sample = sample_of("geometry3k")
    assert compose(sample, "boxed", "") == f"<image>Find x, 3.\n{BOXED}"
    assert sample.ground_truth == "3 \\sqrt { 3 }" and sample.images == (picture(3),) and sample.choices == ()
    own = compose(sample, "boxed", "Say it in \\boxed{}.")
    assert own == "<image>Find x, 3.\nSay it in \\boxed{}."


@pytest.mark.parametrize("images", [None, []])
def test_a_geometry3k_row_without_images_is_found_by_the_check(images) -> None:
    sample = sample_of("geometry3k", images=images)
    with pytest.raises(Exception, match="no image"):
        checked_sample(sample, compose(sample, "boxed", ""))


def test_mmpr_tiny_reads_the_bare_question_and_the_archive(tmp_path) -> None:
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/set/3.png", picture(3))
    sample = sample_of("mmpr_tiny", Files(tmp_path))
    assert compose(sample, "boxed", "") == f"<image>\nHow many sides?\n{BOXED}"
    assert (sample.ground_truth, sample.images) == ("6", (picture(3),))


def test_mmpr_tiny_with_numbered_markers_and_no_bare_question(tmp_path) -> None:
    for number in (3, 4):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / f"images/{number}.png").write_bytes(picture(number))
    paths = [{"path": f"MMPR-Tiny/images/{number}.png"} for number in (4, 3)]
    messages = [{"role": "user", "content": "Is <image_1> larger than <image_2>?"}]
    sample = sample_of("mmpr_tiny", Files(tmp_path), images=paths, prompt=messages, extra_info={"question": ""})
    assert sample.body == "Is <image> larger than <image>?"
    assert sample.images == (picture(4), picture(3))
    drop = drop_of("mmpr_tiny", Files(tmp_path))
    assert drop.reason is Reason.UNREADABLE_IMAGE and "images/set/3.png" in drop.detail


def test_mathvista_uses_the_published_query() -> None:
    sample = sample_of("mathvista")
    assert compose(sample, "published", "") == (
        "<image>Hint: Please answer.\nQuestion: How long is the bar? (Unit: cm)"
    )
    assert sample.ground_truth == "1.2" and sample.images == (picture(7),)
    assert dict(sample.extra) == {
        "question_type": "free_form",
        "answer_type": "float",
        "precision": 1,
        "unit": "cm",
        "language": "english",
        "source": "FigureQA",
        "category": "math-targeted-vqa",
        "task": "figure question answering",
        "context": "bar chart",
        "grade": "daily life",
        "skills": ["statistical reasoning", "arithmetic reasoning"],
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "Hint: Please answer the question requiring a floating-point number with one decimal place and provide the "
            "final value, e.g., 1.2, 1.3, 1.4, at the end.\nQuestion: How long is the bar? (Unit: cm)",
        ),
        (
            {"answer_type": "integer", "precision": None, "unit": None, "answer": "3"},
            "Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, "
            "at the end.\nQuestion: How long is the bar?",
        ),
        (
            {"answer_type": "list", "precision": None, "unit": None, "answer": "[0, 2]"},
            "Hint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., "
            "[1, 2, 3], [1.2, 1.3, 1.4], at the end.\nQuestion: How long is the bar?",
        ),
        (
            {
                "question_type": "multi_choice",
                "answer_type": "text",
                "precision": None,
                "unit": None,
                "choices": ["Yes", "No "],
                "answer": "Yes",
            },
            "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
            "Question: How long is the bar?\nChoices:\n(A) Yes\n(B) No",
        ),
    ],
)
def test_mathvista_builds_the_query_of_a_row_without_one(changes, expected) -> None:
    assert sample_of("mathvista", query=None, **changes).published == expected


SEVERAL = {"question_type": "multi_choice", "answer_type": "text", "precision": None, "choices": ["9", "18", "18"]}


@pytest.mark.parametrize(("answer", "truth"), [("18", "B"), ("", "")])  # split test has no answers
def test_mathvista_gives_the_letter_of_the_answer(answer, truth) -> None:
    assert sample_of("mathvista", **SEVERAL, answer=answer).ground_truth == truth


def test_mmstar_takes_the_choices_out_of_the_question() -> None:
    sample = sample_of("mmstar")
    assert sample.choices == ("on the chair", "under it, or beside it", "on a table", "outside")
    assert compose(sample, "published", "") == f"<image>{ROWS['mmstar']['question']}\n{LETTER}"
    assert compose(sample, "boxed", "") == f"<image>{ROWS['mmstar']['question']}\n{BOXED_CHOICE}"
    assert dict(sample.extra) == {
        "category": "fine-grained perception",
        "l2_category": "localization",
        "source": "SEEDBench_IMG",
    }
    borrowed = "Hint: Give the letter.\nQuestion: Is it so?\nChoices:\n(A) Yes\n(B) No"
    assert sample_of("mmstar", question=borrowed, answer="a").choices == ("Yes", "No")
    plain = sample_of("mmstar", question="Is it so?", answer="a", image=cell(2))
    assert plain.ground_truth == "A" and plain.images == (picture(2),)


def test_mmmu_puts_the_pictures_where_they_are_named() -> None:
    sample = sample_of("mmmu")
    asked = "Compare <image> with <image>. Which is older?\n(A) The first\n(B) Neither's\n(C) See <image>\n"
    assert compose(sample, "published", "") == f"{asked}\n{LETTER}"
    assert compose(sample, "boxed", "") == f"{asked}{BOXED_CHOICE}"
    assert sample.images == (picture(1), picture(2), picture(1))  # the third belongs to the explanation
    assert sample.choices == ("The first", "Neither's", "See <image 1>") and sample.ground_truth == "B"
    extra = dict(sample.extra)
    assert (extra["subject"], extra["domain"], extra["answers"]) == ("Art_Theory", "Art and Design", [])


@pytest.mark.parametrize(
    ("answer", "truth", "answers"),
    [("0.3", "0.3", ["0.3"]), ("['24/7', '3.429']", "24/7", ["24/7", "3.429"]), ("C", "C", ["C"])],
)
def test_mmmu_open_questions_may_have_several_answers(answer, truth, answers) -> None:
    sample = sample_of("mmmu", question="How much?", options="[]", question_type="open", answer=answer)
    assert (sample.ground_truth, sample.extra["answers"], sample.choices) == (truth, answers, ())
    assert compose(sample, "published", "") == "<image>How much?\nAnswer the question using a single word or phrase."
    assert sample.images == (picture(1),)


@pytest.mark.parametrize(
    ("name", "changes", "reason", "detail"),
    [
        ("mathvista", {**SEVERAL, "answer": "17"}, Reason.NOT_A_CHOICE, "'17'"),
        ("mathvista", {"precision": 3, "query": ""}, Reason.OTHER_FORM, "answer_type is 'float' with precision 3"),
        ("mathverse", {"image": "", "problem_version": "Text Only"}, Reason.NO_IMAGE, ""),
        ("mmmu", {"answer": "?"}, Reason.NO_ANSWER, ""),
        ("mmmu", {"options": "['a', "}, Reason.OTHER_FORM, "options is \"['a', \", not a Python list"),
        ("mmmu", {"options": "{'a': 1}"}, Reason.OTHER_FORM, "options is \"{'a': 1}\", not a Python list"),
        ("mmmu", {"options": "[]"}, Reason.OTHER_FORM, "a multiple-choice question without options"),
        ("mmmu", {"question": "See <image 4>."}, Reason.MARKERS, "it has no image_4"),
        ("mmmu", {"id": "17"}, Reason.OTHER_FORM, "id '17' names no subject; one is like validation_Art_Theory_12"),
        *(
            ("ai2d", {"answer": answer}, Reason.NOT_A_CHOICE, f"answer {answer!r} of 3 options, counted from 0")
            for answer in ("3", "-1", "B", "1.0")
        ),
        *(
            (name, {"image": empty}, Reason.NO_IMAGE, "")
            for name in ("ai2d", "mmstar")
            for empty in (None, {"bytes": None, "path": None}, "")
        ),
    ],
)
def test_rows_that_are_dropped(name, changes, reason, detail) -> None:
    drop = drop_of(name, **changes)
    assert (drop.reason, drop.detail) == (reason, detail)


def test_mathverse() -> None:
    row, sample = ROWS["mathverse"], sample_of("mathverse")
    assert compose(sample, "published", "") == f"<image>{row['query_wo']}"
    assert compose(sample, "boxed", "") == f"<image>{row['query_cot']}\n{BOXED_CHOICE}"
    assert (sample.ground_truth, sample.choices) == ("D", ("40°", "60°", "120°", "140°"))
    assert sample.extra["problem_version"] == "Text Lite" and sample.extra["subfield"] == "Angle"


def test_mathverse_vision_only_has_its_question_in_the_picture() -> None:
    picture = {"question": "", "problem_version": "Vision Only", "query_wo": "Answer the question in the image."}
    sample = sample_of("mathverse", **picture)
    assert sample.question == "" and sample.choices == ("40°", "60°", "120°", "140°")
    checked_sample(sample, compose(sample, "published", ""))


@pytest.mark.parametrize(
    ("answer", "truth", "count"), [("(C)", "C", 4), ("60°", "B", 4), ("C\nD", "C\nD", 0), ("E", "E", 0)]
)
def test_odd_mathverse_answers_that_are_in_the_data(answer, truth, count) -> None:
    sample = sample_of("mathverse", answer=answer)
    assert (sample.ground_truth, len(sample.choices), sample.answer) == (truth, count, answer)
    checked_sample(sample, compose(sample, "published", ""))


def test_mathvision_has_one_merged_picture() -> None:
    sample = sample_of("mathvision")
    asked = "Which one comes next?\n<image1>\n<image2>\n(A) 3\n(B) 4\n(C) 5\n(D) 6\n(E) 7\n"
    assert compose(sample, "published", "") == (
        '<image>Please solve the problem step by step and put your answer in one "\\boxed{}". If it is a multiple '
        f'choice question, only one letter is allowed in the "\\boxed{{}}".\n{asked}'
    )
    checked_sample(sample, compose(sample, "published", ""))
    assert (sample.ground_truth, dict(sample.extra)) == ("C", {"level": 2, "subject": "logic"})
    drawn = sample_of("mathvision", options=list("ABCDE"))
    assert drawn.body == "Which one comes next?\n<image1>\n<image2>\n" and drawn.choices == tuple("ABCDE")
    checked_sample(drawn, compose(drawn, "published", ""))
    assert sample_of("mathvision", options=[], answer="60").ground_truth == "60"


def test_ai2d_counts_its_options_from_0() -> None:
    sample = sample_of("ai2d")
    assert compose(sample, "published", "") == f"<image>What eats grass?\nA. fox\nB. hare\nC. owl\n{LETTER}"
    assert (sample.ground_truth, sample.answer, sample.choices) == ("B", "1", ("fox", "hare", "owl"))
    assert sample_of("ai2d", answer=2).ground_truth == "C"


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "mmpr_tiny"])
def test_every_source_fills_exactly_its_keys(name) -> None:
    """A key that only some rows had would change the parquet type from file to file."""
    sample = sample_of(name)
    assert sample.extra.keys() == SOURCES[name].extra.keys()
    assert bool(sample.published) == SOURCES[name].benchmark
    assert set(SOURCES[name].needs) <= ROWS[name].keys()
    checked_sample(sample, compose(sample, SOURCES[name].prompt, ""))
