# SPDX-License-Identifier: Apache-2.0
"""Each source's row in its real schema, against prompts and answers written by hand."""

import pytest

import tests.unit.lab.data.support as support
from tests.unit.lab.data.support import cell, drop_of, picture, sample_of
from verl_df.lab.data.checks import check_sample
from verl_df.lab.data.images import Files
from verl_df.lab.data.prompts import BOXED, BOXED_CHOICE, compose
from verl_df.lab.data.rows import Reason
from verl_df.lab.data.sources import SOURCES

LETTER = "Answer with the option's letter from the given choices directly."


def test_geometry3k() -> None:
    sample = sample_of("geometry3k", support.geometry3k(4))
    assert compose(sample, "boxed", "") == f"<image>Find x, 4.\n{BOXED}"
    assert sample.ground_truth == "4 \\sqrt { 3 }" and sample.images == (picture(4),) and sample.choices == ()
    own = compose(sample, "boxed", "Say it in \\boxed{}.")
    assert own == "<image>Find x, 4.\nSay it in \\boxed{}."


@pytest.mark.parametrize("images", [None, []])
def test_a_geometry3k_row_without_images_is_found_by_the_check(images) -> None:
    sample = sample_of("geometry3k", support.geometry3k(4, images=images))
    with pytest.raises(Exception, match="no image"):
        check_sample(sample, compose(sample, "boxed", ""), 1)


def test_mmpr_tiny_reads_the_bare_question_and_the_archive(tmp_path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/set/3.png", picture(3))
    sample = sample_of("mmpr_tiny", support.mmpr_tiny(), Files(tmp_path))
    assert compose(sample, "boxed", "") == f"<image>\nHow many sides?\n{BOXED}"
    assert (sample.ground_truth, sample.images) == ("6", (picture(3),))


def test_mmpr_tiny_with_numbered_markers_and_no_bare_question(tmp_path) -> None:
    for number in (3, 4):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / f"images/{number}.png").write_bytes(picture(number))
    paths = [{"path": f"MMPR-Tiny/images/{number}.png"} for number in (4, 3)]
    messages = [{"role": "user", "content": "Is <image_1> larger than <image_2>?"}]
    row = support.mmpr_tiny(images=paths, prompt=messages, extra_info={"question": ""})
    sample = sample_of("mmpr_tiny", row, Files(tmp_path))
    assert sample.asked == "Is <image> larger than <image>?"
    assert sample.images == (picture(4), picture(3))
    drop = drop_of("mmpr_tiny", support.mmpr_tiny(), Files(tmp_path))
    assert drop.reason is Reason.UNREADABLE_IMAGE and "images/set/3.png" in drop.detail


def test_mathvista_uses_the_published_query() -> None:
    sample = sample_of("mathvista", support.mathvista())
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
    row = support.mathvista(**changes)
    del row["query"]
    assert sample_of("mathvista", row).published == expected


def test_mathvista_gives_the_letter_of_the_answer_and_refuses_another_text() -> None:
    several = {"question_type": "multi_choice", "answer_type": "text", "precision": None}
    row = support.mathvista(**several, choices=["9", "18", "18"], answer="18")
    assert sample_of("mathvista", row).ground_truth == "B"
    drop = drop_of("mathvista", {**row, "answer": "17"})
    assert (drop.reason, drop.detail) == (Reason.NOT_A_CHOICE, "'17'")
    hidden = sample_of("mathvista", {**row, "answer": ""})  # split test
    assert hidden.ground_truth == ""
    odd = drop_of("mathvista", support.mathvista(precision=3, query=""))
    assert (odd.reason, odd.detail) == (Reason.OTHER_FORM, "answer_type is 'float' with precision 3")


def test_mmstar_takes_the_choices_out_of_the_question() -> None:
    sample = sample_of("mmstar", support.mmstar())
    assert sample.choices == ("on the chair", "under it, or beside it", "on a table", "outside")
    assert compose(sample, "published", "") == f"<image>{support.mmstar()['question']}\n{LETTER}"
    assert compose(sample, "boxed", "") == f"<image>{support.mmstar()['question']}\n{BOXED_CHOICE}"
    assert dict(sample.extra) == {
        "category": "fine-grained perception",
        "l2_category": "localization",
        "source": "SEEDBench_IMG",
    }
    borrowed = "Hint: Give the letter.\nQuestion: Is it so?\nChoices:\n(A) Yes\n(B) No"
    assert sample_of("mmstar", support.mmstar(question=borrowed, answer="a")).choices == ("Yes", "No")
    assert sample_of("mmstar", support.mmstar(question="Is it so?", answer="a")).ground_truth == "A"


def test_mmmu_puts_the_pictures_where_they_are_named() -> None:
    sample = sample_of("mmmu", support.mmmu())
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
    row = support.mmmu(question="How much?", options="[]", question_type="open", answer=answer)
    sample = sample_of("mmmu", row)
    assert (sample.ground_truth, sample.extra["answers"], sample.choices) == (truth, answers, ())
    assert compose(sample, "published", "") == "<image>How much?\nAnswer the question using a single word or phrase."
    assert sample.images == (picture(1),)


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"answer": "?"}, Reason.NO_ANSWER, ""),
        ({"options": "['a', "}, Reason.OTHER_FORM, "options is \"['a', \", not a Python list"),
        ({"options": "{'a': 1}"}, Reason.OTHER_FORM, "options is \"{'a': 1}\", not a Python list"),
        ({"options": "[]"}, Reason.OTHER_FORM, "a multiple-choice question without options"),
        ({"question": "See <image 4>."}, Reason.MARKERS, "it has no image_4"),
        ({"id": "17"}, Reason.OTHER_FORM, "id '17' names no subject; one is like validation_Art_Theory_12"),
    ],
)
def test_broken_mmmu_rows(changes, reason, detail) -> None:
    drop = drop_of("mmmu", support.mmmu(**changes))
    assert (drop.reason, drop.detail) == (reason, detail)


def test_mathverse() -> None:
    row = support.mathverse()
    sample = sample_of("mathverse", row)
    assert compose(sample, "published", "") == f"<image>{row['query_wo']}"
    assert compose(sample, "boxed", "") == f"<image>{row['query_cot']}\n{BOXED_CHOICE}"
    assert (sample.ground_truth, sample.choices) == ("D", ("40°", "60°", "120°", "140°"))
    assert sample.extra["problem_version"] == "Text Lite" and sample.extra["subfield"] == "Angle"


def test_mathverse_vision_only_has_its_question_in_the_picture() -> None:
    row = support.mathverse(question="", problem_version="Vision Only", query_wo="Answer the question in the image.")
    sample = sample_of("mathverse", row)
    assert sample.question == "" and sample.choices == ("40°", "60°", "120°", "140°")
    check_sample(sample, compose(sample, "published", ""), 1)


@pytest.mark.parametrize(
    ("answer", "truth", "count"), [("(C)", "C", 4), ("60°", "B", 4), ("C\nD", "C\nD", 0), ("E", "E", 0)]
)
def test_odd_mathverse_answers_that_are_in_the_data(answer, truth, count) -> None:
    sample = sample_of("mathverse", support.mathverse(answer=answer))
    assert (sample.ground_truth, len(sample.choices), sample.answer) == (truth, count, answer)
    check_sample(sample, compose(sample, "published", ""), 1)


def test_mathverse_text_only_has_no_image() -> None:
    assert drop_of("mathverse", support.mathverse(image="", problem_version="Text Only")).reason is Reason.NO_IMAGE


def test_mathvision_has_one_merged_picture() -> None:
    sample = sample_of("mathvision", support.mathvision())
    asked = "Which one comes next?\n<image1>\n<image2>\n(A) 3\n(B) 4\n(C) 5\n(D) 6\n(E) 7\n"
    assert compose(sample, "published", "") == (
        '<image>Please solve the problem step by step and put your answer in one "\\boxed{}". If it is a multiple '
        f'choice question, only one letter is allowed in the "\\boxed{{}}".\n{asked}'
    )
    check_sample(sample, compose(sample, "published", ""), 1)
    assert (sample.ground_truth, dict(sample.extra)) == ("C", {"level": 2, "subject": "logic"})
    drawn = sample_of("mathvision", support.mathvision(options=list("ABCDE")))
    assert drawn.asked == "Which one comes next?\n<image1>\n<image2>\n" and drawn.choices == tuple("ABCDE")
    check_sample(drawn, compose(drawn, "published", ""), 1)
    assert sample_of("mathvision", support.mathvision(options=[], answer="60")).ground_truth == "60"


def test_ai2d_counts_its_options_from_0() -> None:
    sample = sample_of("ai2d", support.ai2d())
    assert compose(sample, "published", "") == f"<image>What eats grass?\nA. fox\nB. hare\nC. owl\n{LETTER}"
    assert (sample.ground_truth, sample.answer, sample.choices) == ("B", "1", ("fox", "hare", "owl"))
    assert sample_of("ai2d", support.ai2d(answer=2)).ground_truth == "C"


@pytest.mark.parametrize("answer", ["3", "-1", "B", "1.0"])
def test_an_ai2d_answer_beyond_the_options(answer) -> None:
    drop = drop_of("ai2d", support.ai2d(answer=answer))
    assert drop.reason is Reason.NOT_A_CHOICE and drop.detail == f"answer {answer!r} of 3 options, counted from 0"


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "mmpr_tiny"])
def test_every_source_fills_exactly_its_keys(name) -> None:
    """A key that only some rows had would change the parquet type from file to file."""
    row = support.geometry3k(3) if name == "geometry3k" else getattr(support, name)()
    sample = sample_of(name, row)
    assert sample.extra.keys() == SOURCES[name].extra.keys()
    assert bool(sample.published) == SOURCES[name].benchmark
    assert set(SOURCES[name].needs) <= row.keys()
    check_sample(sample, compose(sample, SOURCES[name].prompt, ""), 1)


@pytest.mark.parametrize("empty", [None, {"bytes": None, "path": None}, ""])
def test_an_empty_picture(empty) -> None:
    assert drop_of("ai2d", support.ai2d(image=empty)).reason is Reason.NO_IMAGE
    assert drop_of("mmstar", support.mmstar(image=empty)).reason is Reason.NO_IMAGE
    assert sample_of("mmstar", support.mmstar(image=cell(2))).images == (picture(2),)
