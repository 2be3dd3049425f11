# SPDX-License-Identifier: Apache-2.0
"""Each benchmark's rule on answers checked by hand: right, wrong, in odd formats, and no answers at all."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from verl.utils.import_utils import load_extern_object

from verl_df.judges.rules.letters import find_letter
from verl_df.judges.rules.mathvista import nearest_option
from verl_df.judges.rules.mmmu import choose, open_answers
from verl_df.judges.score import RULES, compute_score, judge

ANGLES = ["145°", "35°", "12 cm", "a cat"]
OPTIONS = dict(zip("ABCD", ANGLES, strict=True))


def scores(source, truth, extra, responses):
    return [compute_score(source, response, truth, extra)["acc"] for response in responses]


# ---- letters --------------------------------------------------------------------------------------------------------

NAMED = {
    "B": "B", "b": "B", "(B)": "B", "B.": "B", "B) 35°": "B", "B: 35°": "B", "Option B": "B", "option (B)": "B",
    "The answer is B": "B", "The correct answer is **B**.": "B", "Answer: (B) 35°": "B", "the answer is 35°": "B",
    r"First A, then C, so \boxed{B}": "B", r"\boxed{\text{(B)}}": "B", r"\boxed{35^\circ}": "B", "35": "B",
    "<answer>B</answer> not C": "B", "B. The angle and its neighbour make 180°,\nso A and C are out": "B",
    "I add them up.\nThat leaves me with option B": "B", "It is 35°, as the sketch shows": "B",
    "The picture shows a CAT": "D", "B. 145°": "B", r"wrong: \boxed{A}. Rather \boxed{C}": "C", "12 centimetres": "C",
    "The answer is not clear. I would pick (B)": "B",
}  # fmt: skip
UNNAMED = [
    "", "   ", "A or B", "(A) and (B)", "E", r"\boxed{E}", r"\boxed{}", r"\boxed{13 cm}", r"\boxed{A}, \boxed{A, B}",
    "Because I say so", "A cat sits there", "Both A and B fit here", "I cannot see the picture", "ABCD",
    "BB", "A B C D", "(Z)", "A long story about nothing.\n" * 20,
]  # fmt: skip


@pytest.mark.parametrize(("response", "letter"), NAMED.items())
def test_letters(response, letter):
    assert find_letter(response, OPTIONS).letter == letter


@pytest.mark.parametrize("response", [text for text in UNNAMED if text != "A cat sits there"])
def test_no_letter(response):
    assert find_letter(response, OPTIONS).letter is None


def test_an_article_is_no_letter_but_an_option_text_is_one():
    assert find_letter("A cat sits there", OPTIONS).letter == "D"  # "a cat" is option D
    assert find_letter("A dog sits there", OPTIONS).letter is None
    assert find_letter("I see the letter A", OPTIONS).letter == "A"


def test_what_was_marked_is_kept_even_if_it_is_no_option():
    assert judge("ai2d", r"So \boxed{13 cm}.", "C", {"choices": ANGLES}).extracted == "13 cm"
    assert judge("ai2d", "no idea at all, sorry", "C", {"choices": ANGLES}).extracted is None


@pytest.mark.parametrize("source", ["mmstar", "ai2d"])
def test_choice_benchmarks(source):
    extra = {"choices": ANGLES, "id": "1"}
    assert scores(source, "B", extra, ["B", r"\boxed{B}", "35°", "A", "A or B", "", "Because"]) == [1, 1, 1, 0, 0, 0, 0]
    assert compute_score(source, "Because", "B", extra) == {"score": 0.0, "acc": 0.0, "parsed": 0.0, "doubtful": 0.0}
    assert compute_score(source, "A", "B", extra) == {"score": 0.0, "acc": 0.0, "parsed": 1.0, "doubtful": 0.0}
    # options unknown: the letters are
    assert scores(source, "B", {"choices": []}, ["B", "(B) something", "E", "35°"]) == [1, 1, 0, 0]
    # the truth as an option's text
    assert scores(source, "35°", extra, ["B", "A"]) == [1, 0]
    with pytest.raises(ValueError, match="ground truth 'F' is none of the options"):
        compute_score(source, "B", "F", extra)


# ---- MathVista ------------------------------------------------------------------------------------------------------


def vista(answer_type, precision=0, choices=()):
    kind = "multi_choice" if choices else "free_form"
    return {"question_type": kind, "answer_type": answer_type, "precision": precision, "choices": list(choices)}


@pytest.mark.parametrize(
    ("truth", "extra", "right", "wrong"),
    [
        (
            "14",
            vista("integer"),
            ["14", "14.0", "14.7", "The number missing in the sequence is 14.", r"\boxed{14}", "x = 14", "14 apples",
             "1 + 13 = 14", "I count them.\nThere are 14 of them"],
            ["15", "13.99", "-14", "14 or 15", "fourteen", "", "From 1 to 14 there are many", "1400", "14,000"],
        ),
        ("1234", vista("integer"), ["1,234", "$1234", "1234.9"], ["1.234", "1,2,3,4", "234"]),
        (
            "1.45",
            vista("float", 2),
            ["1.45", "1.449", "Luca needs $1.45 to buy a sour apple candy.", r"\boxed{1.45\text{ dollars}}", "$1.45"],
            ["1.4", "1.46", "145", "1.45 and 2.45", "about one and a half"],
        ),
        ("0.40", vista("float", 2), ["0.4", ".4", "0.401", "40/100"], ["0.41", "4"]),
        ("0.6", vista("float", 1), ["0.6", "0.64", "The fraction is 0.6."], ["0.66", "0.5"]),
        ("[2007, 2008]", vista("list"), ["[2007,2008]", "The answer is [2007, 2008]"], ["[2008, 2007]", "2007", ""]),
        (
            "B",
            vista("text", choices=["3/11", "8/11", "6/11", "3/5"]),
            ["B", "The correct answer is (B) 8/11.", "8/11", r"\boxed{\frac{8}{11}}", "8/111", "(b)"],
            ["A", "3/11", "6/11", "", "I cannot tell from the picture what fraction it could be, sorry"],
        ),
        # two options with the same text, as in three questions of testmini: either letter will do
        ("A", vista("text", choices=["5", "5", "6"]), ["A", "B", r"\boxed{5}"], ["C", "6"]),
    ],
)  # fmt: skip
def test_mathvista(truth, extra, right, wrong):
    assert scores("mathvista", truth, extra, right) == [1.0] * len(right)
    assert scores("mathvista", truth, extra, wrong) == [0.0] * len(wrong)


def test_nearest_option_by_hand():
    # distances of "toky": 5 to kyoto is more than 1 to tokyo; of equals the first
    assert nearest_option("toky", ["hong kong", "kyoto", "tokyo"]) == 2
    assert nearest_option("x", ["a", "b"]) == 0


def test_a_number_too_large_is_no_answer():
    for response in ("1e999", "9" * 400, r"\boxed{10^{400}}", "it is 1" + "0" * 350):
        assert compute_score("mathvista", response, "14", vista("integer"))["acc"] == 0


# ---- MMMU -----------------------------------------------------------------------------------------------------------


def test_mmmu_choices():
    extra = {"question_type": "multiple-choice", "choices": ANGLES}
    right = ["B", "(B)", "B.", "I believe (A) at first, but it is (B)", r"\boxed{B}", "The answer is B.",
             "Thus B is right", "After some thought I would say that it must be 35°"]  # fmt: skip
    wrong = ["A", "(B) or rather (C)", "DNA is it", "A cat, I think", "I do not know", "", r"(B) but \boxed{C}"]
    assert scores("mmmu", "B", extra, right) == [1.0] * len(right)
    assert scores("mmmu", "B", extra, wrong) == [0.0] * len(wrong)
    assert compute_score("mmmu", "I do not know", "B", extra)["parsed"] == 0  # nothing is drawn at random


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("(A) no, (C) yes", "C"),
        ("it is A or C .", "C"),
        ("C.", "C"),
        ("A cat and a C .", "C"),
        ("DNA RNA", None),
        ("what we see here is a cat and then 35°", "B"),
        ("35°, a cat", None),  # five words or fewer: the text is not looked for
        ("none of these", None),
    ],
)
def test_mmmu_published_rule(response, letter):
    assert choose(response, OPTIONS) == letter


def test_mmmu_open():
    extra = {"question_type": "open", "choices": [], "answers": ["24/7", "3.429"]}
    right = [
        "3.429",
        "The ratio is 3.43",
        "24/7",
        "therefore x = 3.429\n",
        r"\boxed{\frac{24}{7}}",
        "the result is 24/7 kg",
    ]
    wrong = ["3.4", "7/24", "", "I am not sure", r"\boxed{3.5} though 3.429 is near"]
    assert scores("mmmu", "24/7", extra, right) == [1.0] * len(right)
    assert scores("mmmu", "24/7", extra, wrong) == [0.0] * len(wrong)
    # without a list the ground truth itself; a letter only beside a space, so that it is not found in every word
    extra = {"question_type": "open", "choices": [], "answers": []}
    assert scores("mmmu", "x", extra, ["it is x", "x", "axe", "max"]) == [1, 1, 0, 0]
    assert scores("mmmu", "Transformation", extra, ["This is transformation.", "The plot"]) == [1, 0]


def test_mmmu_open_answers_by_hand():
    # behind "so " the first line ends in "we look."; the last line's shortest end is behind "=": "1,000.5 kg", which
    # holds the numbers 1,000 (with a comma) and .5
    assert open_answers("So we look.\nthe weight is m = 1,000.5 kg.") == ["we look.", "1,000.5 kg", 1000.0, 0.5]
    assert open_answers("Forty-two") == ["forty-two"]
    assert open_answers("") == [""]


# ---- MathVerse and MathVision ---------------------------------------------------------------------------------------


def test_mathverse():
    choice = {"question_type": "multi-choice", "choices": []}
    assert scores("mathverse", "C", choice, ["C", "C:√3", r"\boxed{C}", "B", "", "C or D"]) == [1, 1, 1, 0, 0, 0]
    assert scores("mathverse", "False", choice, ["False", r"\boxed{\text{False}}", "True"]) == [1, 1, 0]
    roots = {"question_type": "multi-choice", "choices": ["2", "2√{3}", "√{3}", "2√{2}"]}
    right = ["B", "B:2√{3}", r"\boxed{2\sqrt{3}}", "The answer is 2√3", "So BC = 2√3", r"It is $\sqrt{12}$."]
    assert scores("mathverse", "B", roots, right) == [1.0] * 6
    assert scores("mathverse", "A", roots, [*right, "The length 2√3 is it"]) == [0.0] * 7  # option A is 2
    free = {"question_type": "free-form", "choices": []}
    assert scores("mathverse", r"y=\frac{1}{2} x", free, [r"The equation is $y=\frac{x}{2}$.", "y = x/3"]) == [1, 0]
    right = [r"2\sqrt{3}", r"The answer is $\sqrt{12}$", r"\boxed{2\sqrt{3}\text{ cm}}", r"<answer>2√3</answer>"]
    assert scores("mathverse", r"2\sqrt{3} cm", free, right) == [1.0] * 4
    assert scores("mathverse", r"2\sqrt{3} cm", free, ["3.4", r"2\sqrt{3} m", "null", ""]) == [0.0] * 4
    assert scores("mathverse", "22.3", free, ["Therefore, the distance between them is 22.3 meters."]) == [1.0]


def test_mathvision():
    letters = {"choices": list("ABCDE")}
    assert scores("mathvision", "E", letters, [r"\boxed{E}", "E", "(E)", r"\boxed{(E)}", "D", ""]) == [1, 1, 1, 1, 0, 0]
    values = {"choices": ["1", "2", "4", "6", "8"]}
    assert scores("mathvision", "C", values, [r"\boxed{C}", r"\boxed{4}", "the final answer is 4.", "2"]) == [
        1,
        1,
        1,
        0,
    ]
    free = {"choices": []}
    right = ["12", r"\boxed{12.0}", "The sum should be 12\nso x = 24/2\n", "So the sum is 12.", r"\boxed{\frac{36}{3}}"]
    assert scores("mathvision", "12", free, right) == [1.0] * len(right)
    assert judge("mathvision", "So the sum is 12.", "12", free).extracted == "12"
    # what the response announces is its answer, whatever else it sets equal
    assert scores("mathvision", "3", free, ["The answer: 5 where x = 3", "We have x = 3\nThe answer is 5"]) == [0, 0]
    assert (
        scores("mathvision", "12", free, ["1.2", r"\boxed{12} \boxed{13}", "twelve", "__import__('os')"]) == [0.0] * 4
    )


# ---- all together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["mathvista", "mmmu", "mathverse"])
def test_a_row_without_its_keys_is_named(source):
    with pytest.raises(ValueError, match="extra_info has no 'question_type'"):
        compute_score(source, "B", "B", {"choices": ANGLES})


def test_other_sources_are_scored_by_the_final_answer():
    assert compute_score("geometry3k", r"\boxed{2\sqrt{3}}", r"\sqrt{12}") == {
        "score": 1.0,
        "acc": 1.0,
        "parsed": 1.0,
        "doubtful": 0.0,
    }
    assert compute_score("my_data", "no answer\nat all", "3") == {
        "score": 0.0,
        "acc": 0.0,
        "parsed": 0.0,
        "doubtful": 0.0,
    }
    assert judge("my_data", "The answer is 4.", "3").extracted == "4"


def test_verl_loads_it():
    function = load_extern_object("pkg://verl_df.judges.score", "compute_score")
    found = function(data_source="ai2d", solution_str="B", ground_truth="B", extra_info={"choices": ANGLES}, more=1)
    assert found["score"] == 1.0


EXTRA = {
    "mathvista": vista("float", 1),
    "mmstar": {"choices": ANGLES},
    "mmmu": {"question_type": "open", "choices": [], "answers": ["0.5"]},
    "mathverse": {"question_type": "free-form", "choices": []},
    "mathvision": {"choices": ["1", "2", "3"]},
    "ai2d": {"choices": ANGLES},
}
TRUTH = {"mathvista": "0.5", "mmstar": "B", "mmmu": "0.5", "mathverse": "0.5", "mathvision": "B", "ai2d": "B"}


@pytest.mark.parametrize("source", RULES)
@hypothesis_settings(max_examples=30, deadline=None)
@given(response=st.text("AB(){}\\boxed.,=5 \nis$answer:<>/-", max_size=60))
def test_any_text_gets_a_verdict(source, response):
    found = judge(source, response, TRUTH[source], EXTRA[source])
    assert not (found.right and found.extracted is None)
    assert found == judge(source, response, TRUTH[source], EXTRA[source])


@pytest.mark.parametrize("source", RULES)
@hypothesis_settings(max_examples=10, deadline=None)
@given(before=st.text(max_size=80))
def test_a_boxed_answer_is_right_behind_any_text(source, before):
    assert judge(source, f"{before} \\boxed{{{TRUTH[source]}}}", TRUTH[source], EXTRA[source]).right
