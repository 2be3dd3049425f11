# SPDX-License-Identifier: Apache-2.0
"""The rule-based task reward: right answers in many spellings, near misses, and texts that are no answers."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verl.utils.import_utils import load_extern_object

from verl_df.judges import expressions, kinds
from verl_df.judges.final_answer import compute_score
from verl_df.judges.kinds.quantities import read_quantities
from verl_df.judges.kinds.units import read_unit
from verl_df.judges.reading import MAX_BARE_CHARACTERS, final_answers, marked_answer
from verl_df.judges.spelling import spelled

RIGHT = {
    "B": ["B", "(B)", "B.", "b", "B. 12 cm", "(B) 12 cm", "Answer: B", "**Answer:** B", "The answer is (B) 12 cm.",
          r"\boxed{B}", r"\boxed{\text{(B)}}", r"$\boxed{\mathbf{B}}$", "The correct answer is: **B**.", "option B"],
    "12": ["12", "12.0", "12 cm", "012", "+12", "12 apples", "$12$", r"\(12\)", "$12 dollars", r"24/2", r"3\cdot 4",
           "x = 12", r"The answer is \boxed{12}.", "So the answer is 12. Because I counted.", "<answer> 12 </answer>",
           "1200%"],
    "12 cm": ["12", "12cm", "12 centimeters", "12 Centimetre", r"12\,\text{cm}", r"\boxed{12\ \mathrm{cm}}",
              "h = 12 cm"],
    "12 cm²": ["12 cm^2", r"12\text{ cm}^{2}", "12 square centimeters", "12 sq cm"],
    "60 km/h": ["60 kilometers per hour", "60", "60 km / h"],
    "12 apples": ["12 apples", "12 red apples", "12 apple"],
    "1234567": ["1,234,567", "1{,}234{,}567", r"1\,234\,567", "1.234567e6", r"1.234567\times 10^{6}"],
    "50%": ["50%", r"50\%", "50 percent", "0.5", "1/2", "50"],
    "50": [r"50\%", "50°"],
    "90°": ["90", r"90^\circ", r"90^{\circ}", "90 degrees"],
    "0.5": ["1/2", ".5", r"\frac12", r"\dfrac{1}{2}", "50%", r"\tfrac{2}{4}"],
    "-3": ["-3", "\u22123", "- 3", "-6/2"],
    r"\frac{7}{4}": ["1.75", r"1\frac{3}{4}", "7/4", r"1 + \frac{3}{4}"],
    "1/3": ["0.3333333", r"\frac{1}{3}", "2/6"],
    r"2\sqrt{3}": ["2√3", r"\sqrt{12}", "2*sqrt(3)", r"\frac{6}{\sqrt{3}}", r"2\sqrt{3}\text{ cm}"],
    r"2\sqrt{3} cm": [r"2\sqrt{3}", r"2\sqrt{3}\,\mathrm{cm}"],
    r"2\pi": ["2π", "2pi", "6.2831853", r"2 \pi"],
    "x^2+2x+1": ["(x+1)^2", "1 + 2x + x**2"],
    r"\{1, 2\}": [r"\{2,1\}", "{1,2}"],
    "[1,2)": ["$[1, 2)$", r"\left[1, 2\right)"],
    r"(3,\infty)": ["(3, ∞)", "x > 3"],
    "x=5": ["5", "x = 5", "$x=5$"],
    "Paris": ["paris", "Paris.", r"\text{Paris}", "answer: Paris"],
    "yes": ["Yes", "**yes**"],
    "2:3": ["2:3", "2 : 3"],
    r"Thus \boxed{7}": ["7"],
}  # fmt: skip
WRONG = {
    "B": ["C", "A or B", "(B) and (C)", "B. or C.", "B and C", "B, C", "BC", "12 cm", "I like (B)ananas\nand more", ""],
    "12": ["13", "-12", "1.2", "12.1", "12 or 13", "12, 13", "12 thousand", "12x", r"12\pi", "21", "1/2", "twelve?",
           r"\boxed{12} or rather \boxed{13}", r"I get 12. \boxed{}", "12 + 1", r"\pm 12", "   ", "10:12", "12e1"],
    "12 cm": ["12 m", "12 cm^2", "12 mm", "12 apples", "12 kg", "12 cm/s", "13 cm"],
    "12 cm²": ["12 cm", "12 m^2", "12 cubic centimeters"],
    "60 km/h": ["60 m/s", "60 km", "60 h/km"],
    "12 apples": ["12 oranges", "11 apples", "12 cm"],
    "1234": ["1,2,3,4", "123", "12,34", "1.234"],
    "50%": ["5%", "0.05", "0.5%", "5"],
    "50": ["0.5", "0.5%"],
    "90°": ["90 rad", "90 cm", "9", "-90°"],
    "1/3": ["0.33", "0.3334", "3", "1/3 + 1"],
    r"2\sqrt{3}": ["2√2", "3√2", "12"],
    r"2\sqrt{3} cm": [r"2\sqrt{3} m", r"2\sqrt{2} cm"],
    r"2\pi": ["2", "3.14", r"\pi^2"],
    "x^2+2x+1": ["x^2+1", "(x-1)^2"],
    "[1,2)": ["[1,2]", "(1,2)", "[1,3)"],
    "(1,2)": ["(2,1)", "(1,2,3)"],
    r"\{1,2\}": [r"\{1,3\}", r"\{1\}"],
    "x=5": ["y=5", "x=6", "x>5"],
    "cat": ["tac", "act", "dog"],
    "x-ray (act)": ["x-ray (cat)"],
    "yes": ["no", "yes and no", "maybe"],
    "Paris": ["London", "Paris, London"],
    "30": ["I see 30 dots and 20 lines\nso 50"],
}  # fmt: skip
CASES = [(truth, answer, 1.0) for truth, answers in RIGHT.items() for answer in answers]
CASES += [(truth, answer, 0.0) for truth, answers in WRONG.items() for answer in answers]


def score(truth: object, response: str, **extra_info: object) -> float:
    return compute_score("any", response, truth, extra_info)["acc"]


@pytest.mark.parametrize(("truth", "response", "expected"), CASES)
def test_right_answers_and_near_misses(truth: str, response: str, expected: float) -> None:
    assert score(truth, response) == expected


def test_what_verl_gets() -> None:
    function = load_extern_object("pkg://verl_df.judges.final_answer", "compute_score")
    result = function(data_source="d", solution_str=r"\boxed{3}", ground_truth="3", extra_info=None, num_turns=1)
    assert result == {"score": 1.0, "acc": 1.0, "parsed": 1.0, "doubtful": 0.0}
    assert function("d", r"\boxed{4}", "3") == {"score": 0.0, "acc": 0.0, "parsed": 1.0, "doubtful": 0.0}
    assert function("d", "first line\nsecond line", "3") == {"score": 0.0, "acc": 0.0, "parsed": 0.0, "doubtful": 0.0}
    assert all(isinstance(value, float) for value in result.values())


@pytest.mark.parametrize("truths", [["3", "four"], ("3", "four"), np.array(["3", "four"], dtype=object)])
def test_several_accepted_answers(truths: object) -> None:
    assert [score(truths, answer) for answer in ("3", "Four", "5")] == [1.0, 1.0, 0.0]


def test_ground_truths_that_are_numbers() -> None:
    assert score(3, "3") == score(0.5, "1/2") == score(np.float64(0.5), "0.5") == 1.0


def test_data_at_fault_is_said_so() -> None:
    with pytest.raises(ValueError, match="ground_truth is an empty list"):
        score([], "3")
    with pytest.raises(ValueError, match="must be a list of texts or a dict by letter, not 'AB'"):
        score("A", "A", choices="AB")


@pytest.mark.parametrize(
    "choices",
    [
        ["12 cm", "15 cm", "a cat"],
        np.array(["A. 12 cm", "B. 15 cm", "C. a cat"], dtype=object),
        {"A": "12 cm", "B": "15 cm", "C": "a cat", "D": None},
    ],
)
def test_choices(choices: object) -> None:
    def right(truth: str, *answers: str) -> list[float]:
        return [score(truth, answer, choices=choices) for answer in answers]

    assert right("B", "B", "15 cm", r"\boxed{15}", "B. 15 cm", "(B) fifteen") == [1.0] * 5
    assert right("B", "A", "12 cm", "B. 12 cm", "A. 15 cm", "C", "cat", "14 cm") == [0.0] * 7
    assert right("15 cm", "B", "15 cm", "15", "B. 15 cm") == [1.0] * 4  # the truth is the option's text
    assert right("15 cm", "A", "12") == [0.0] * 2
    assert right("C", "a cat", "A cat.") == [1.0] * 2


def test_a_text_that_fits_two_options_names_none() -> None:
    assert score("A", "5", choices=["5 cm", "5 m"]) == 0.0
    assert score("A", "5 cm", choices=["5 cm", "5 m"]) == 1.0


def test_where_the_answer_is_looked_for() -> None:
    assert final_answers(r"The answer is 5. So \boxed{\frac{1}{\text{a}}}, rather \boxed{ {2} } then \boxed{3") == [
        "{2}"
    ]
    assert final_answers(r"\boxed{0} gives \boxed{1} and $\boxed{\frac{2}{3}}$, \boxed{1}") == [r"1, \frac{2}{3}"]
    assert marked_answer(r"\boxed{\boxed{3}}") == "3"
    assert marked_answer(r"\boxed{\{1\}}, so \fbox {4}") == "4"
    assert marked_answer("} \\boxed") is None
    assert final_answers("<answer>1</answer> answer: 2 <ANSWER>\n3\n</ANSWER>") == ["3"]
    assert final_answers("The answer: 1\nNo, the answer is 2 cm. That is all.\nBye") == ["2 cm. That is all.", "2 cm"]
    assert final_answers(" 3 ") == ["3"]
    assert final_answers("3\n4") == final_answers("x" * (MAX_BARE_CHARACTERS + 1)) == final_answers(" ") == []
    assert final_answers("I have no answer, sorry\nreally") == []


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["{}", "{:,}", "${}$", "\\boxed{{{}}}", "{}.0", "x = {}", "{} cm", "{:+}", "Answer: {}", "{}/1"]),
)
def test_any_spelling_of_an_integer_is_right_and_of_its_neighbour_wrong(number: int, spelling: str) -> None:
    assert score(str(number), spelling.format(number)) == 1.0
    if "." not in spelling:  # with decimals there is a tolerance
        assert score(str(number), spelling.format(number + 1)) == 0.0


@given(st.fractions(max_denominator=10**6).filter(lambda value: value.denominator > 1))
def test_fractions_are_exact(value: object) -> None:
    top, bottom = value.numerator, value.denominator  # type: ignore[attr-defined]
    sign, size = "-" if top < 0 else "", abs(top)
    assert score(f"{top}/{bottom}", f"{sign}\\frac{{{size}}}{{{bottom}}}") == 1.0
    assert score(f"{top}/{bottom}", f"{sign}\\frac{{{size + 1}}}{{{bottom}}}") == 0.0


@given(st.text(), st.text())
def test_no_text_makes_the_reading_fail(response: str, truth: str) -> None:
    for answer in (*final_answers(response), truth):
        spelling = spelled(answer)
        read_quantities(spelling)
        read_unit(spelling)


# each example is a question to math-verify's process
@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="0123456789.,+-*/^_=<>(){}[]|\\ xyπ√°%$acfrtsq", max_size=25),
    st.sampled_from(["5", "x+1", "(1,2)"]),
)
def test_no_text_makes_the_score_fail(answer: str, truth: str) -> None:
    assert score(truth, f"\\boxed{{{answer}}}") in (0.0, 1.0)


@given(st.text(min_size=1).filter(lambda text: bool(spelled(text))))
def test_an_answer_equals_itself(text: str) -> None:
    assert kinds.same(spelled(text), spelled(text)).right


def test_long_nonsense_takes_no_time() -> None:
    start = time.process_time()  # of the processor: a machine that stalls is no pattern that does
    for piece in (
        r"\boxed{",
        r"\text{",
        "{",
        "9^",
        r"\frac{1}{",
        "answer is ",
        "B ",
        "1,",
        "12 a ",
        "<answer>",
        "**",
        "√(",
    ):
        assert score("5", piece * 4000) == 0.0
        assert score("5", f"\\boxed{{{piece.replace('{', '(') * 4000}}}") == 0.0
    assert time.process_time() - start < 5


def test_towers_of_powers_end_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "CPU_SECONDS", 1.5)
    monkeypatch.setattr(expressions, "WALL_SECONDS", 3600.0)  # so that the other limit is what ends it
    expressions._worker.stop()
    expressions._ask_once.cache_clear()
    with ThreadPoolExecutor(8) as pool:  # as verl calls it: from threads
        found = pool.map(lambda text: score("x+1", text), [r"\boxed{9^{9^{9^{9}}}+x}", r"\boxed{1+x}"] * 4)
    assert list(found) == [0.0, 1.0] * 4
    expressions._worker.stop()  # the next test starts one with the usual limit


def test_a_process_that_does_not_start_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(expressions, "_PROGRAM", tmp_path / "nothing.py")  # type: ignore[operator]
    expressions._worker.stop()
    expressions._ask_once.cache_clear()
    with pytest.raises(expressions.WorkerError, match="math-verify does not start; see what `.*nothing.py"):
        score("x+1", "1+x")


def test_a_process_that_someone_ended_is_started_again() -> None:
    assert expressions.equal("x+2", "2+x")
    process = expressions._worker.process
    assert process is not None
    process.kill()
    process.wait(10)
    assert expressions.equal("x+3", "3+x")


def test_a_process_that_ends_between_two_questions_is_started_again() -> None:
    assert expressions.equal("x+5", "5+x")
    process = expressions._worker.process
    assert process is not None
    process.kill()
    process.wait(10)
    process.poll = lambda: None  # as if it had still been there a moment ago
    assert expressions.equal("x+6", "6+x")


def test_a_question_may_hold_any_character() -> None:
    assert not expressions.equal("x\n\ud83d", "\u2028\r\n\0")
    assert expressions.equal("x+4", "4+x")
