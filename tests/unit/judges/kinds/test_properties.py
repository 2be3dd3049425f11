# SPDX-License-Identifier: Apache-2.0
"""Of every kind: a truth matches itself in every spelling, no two different values match, order where it is none."""

from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.judges.kinds.spellings import (
    DATES,
    FRACTIONS,
    INTEGERS,
    RANGES,
    SETS,
    UNITS,
    date_spellings,
    decimal_spellings,
    fraction_spellings,
    integer_spellings,
    range_spellings,
    ratio_spellings,
    set_spellings,
    time_spellings,
)
from verl_df.judges.final_answer import judge

LETTERS = "ABCDEFGH"
some = settings(max_examples=30, deadline=None)  # an example is a hundred answers


def right(truth: str, answer: str, choices: list[str] | None = None) -> bool:
    return judge(f"\\boxed{{{answer}}}", truth, {"choices": choices}).right


def check(spellings: list[str], others: list[str], truths: int = 3) -> None:
    """The first spellings as truths against all spellings of the value and of another one."""
    for truth in spellings[:truths]:
        assert [answer for answer in spellings if not right(truth, answer)] == []
        assert [answer for answer in others if right(truth, answer)] == []


@some
@given(INTEGERS, st.sampled_from([-1, 1, 10, 1000]))
def test_integers(value, step):
    assume(100 * (value + step) != value and 100 * value != value + step)  # 5% is 5, and 0.05
    check(integer_spellings(value), integer_spellings(value + step))


@some
@given(st.integers(-(10**6), 10**6), st.integers(1, 6), st.integers(1, 9))
def test_decimals(digits, places, step):
    check(decimal_spellings(digits, places), decimal_spellings(digits + step, places))


@some
@given(st.integers(1, 99), st.integers(1, 30), st.integers(1, 29))
def test_tiny_and_huge_numbers(digits, power, step):
    for sign in ("", "-"):
        texts = [rf"{digits} \times 10^{{{sign}{power}}}", f"{digits}e{sign}{power}", f"{digits}x10^{{{sign}{power}}}"]
        check(texts, [rf"{digits} \times 10^{{{sign}{power + step}}}", f"{digits + 1}e{sign}{power}", str(digits)])


@some
@given(FRACTIONS, FRACTIONS)
def test_fractions_and_mixed_numbers(value, other):
    assume(value != other)
    check(fraction_spellings(value), fraction_spellings(other), truths=99)


@some
@given(st.integers(0, 999), st.integers(1, 998), st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_quantities(value, step, unit, other_unit):
    def spelt(number: int, of: str) -> list[str]:
        return [f"{number} {spelling}" for spelling in UNITS[of]]

    check([*spelt(value, unit), str(value)], spelt(value + step, unit), truths=2)
    if unit != other_unit:
        check(spelt(value, unit), spelt(value, other_unit), truths=9)


@some
@given(st.integers(0, 1439), st.integers(1, 1438))
def test_times(minutes, step):
    check(time_spellings(minutes), time_spellings((minutes + step) % 1440), truths=9)


@some
@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 23), st.integers(0, 59))
def test_a_time_is_no_other_of_the_same_quotient(hour, minute, other_hour, other_minute):
    assume((hour, minute) != (other_hour, other_minute))
    assert not right(f"{hour}:{minute:02d}", f"{other_hour}:{other_minute:02d}")


@some
@given(DATES, DATES)
def test_dates(date, other):
    assume(date != other)
    check(date_spellings(*date), date_spellings(*other), truths=9)


@some
@given(RANGES, RANGES)
def test_ranges(ends, others):
    assume(ends != others)
    check(range_spellings(*ends), [*range_spellings(*others), str(ends[0] - ends[1]), str(ends[0])], truths=9)


@some
@given(st.integers(1, 99), st.integers(1, 99), st.integers(2, 9), st.integers(1, 50))
def test_ratios(left, other, factor, step):
    check(ratio_spellings(left, other, factor), ratio_spellings(left + step, other, factor), truths=9)


@some
@given(SETS, st.data())
def test_sets_have_no_order_and_tuples_have_one(values, data):
    shuffled = data.draw(st.permutations(values))
    fewer, others = values[:-1], [*values[:-1], 100]
    check(set_spellings(values), set_spellings(others), truths=9)
    assert right(set_spellings(values)[0], set_spellings(shuffled)[0])
    assert not right(set_spellings(values)[0], set_spellings(fewer)[0])
    pair = [f"({', '.join(map(str, one))})" for one in (values, shuffled)]
    assert right(*pair) == (values == shuffled)
    assert not right(pair[0], set_spellings(values)[0]) and not right(set_spellings(values)[0], pair[0])


@some
@given(
    st.integers(-99, 98),
    st.integers(1, 99),
    st.sampled_from(["()", "[]", "(]", "[)"]),
    st.sampled_from(["()", "[]", "(]", "[)"]),
)
def test_intervals(low, width, brackets, others):
    one, other = (f"{pair[0]}{low}, {low + width}{pair[1]}" for pair in (brackets, others))
    assert right(one, other) == (brackets == others)
    assert not right(one, f"{brackets[0]}{low}, {low + width + 1}{brackets[1]}")


@some
@given(st.dictionaries(st.sampled_from("abcxyz"), st.integers(-99, 99), min_size=2, max_size=4), st.data())
def test_assignments_have_no_order(values, data):
    texts = [f"{name} = {value}" for name, value in values.items()]
    shuffled = data.draw(st.permutations(texts))
    name = data.draw(st.sampled_from(sorted(values)))
    assert right(", ".join(texts), ", ".join(shuffled))
    assert right(", ".join(texts), f"({', '.join(str(values[one]) for one in sorted(values))})")
    assert not right(", ".join(texts), ", ".join(shuffled).replace(f"{name} = ", f"{name} = 1"))
    assert not right(", ".join(texts), ", ".join(shuffled[1:]))


@settings(max_examples=40, deadline=None)  # each asks math-verify's process
@given(st.integers(2, 99), st.sampled_from("abhknptxyz"), st.sampled_from("abhknptxyz"), st.integers(2, 5))
def test_variables_and_powers_are_never_dropped(factor, name, other, power):
    truth = f"{factor}{name}"
    assert right(truth, f"{factor} \\cdot {name}") and right(truth, f"{name}*{factor}")
    assert not right(truth, str(factor)) and not right(str(factor), truth) and not right(truth, name)
    assert not right(truth, f"{factor}{name}^{power}") and not right(f"{factor}^{power}", str(factor))
    assert right(truth, f"{factor}{other}") == (name == other)


@some
@given(st.lists(st.text("abcdef 0123456789", min_size=3, max_size=8), min_size=2, max_size=6, unique=True), st.data())
def test_a_right_letter_with_its_own_text_is_right_whatever_the_others_say(texts, data):
    number = data.draw(st.integers(0, len(texts) - 1))
    letter, choices = LETTERS[number], texts
    assume(" ".join(texts[number].split()) and len({" ".join(one.split()) for one in texts}) == len(texts))
    for answer in (letter, f"({letter})", f"{letter}.", f"{letter}. {texts[number]}", f"({letter}) {texts[number]}"):
        assert right(letter, answer, choices)
    for other in (one for one in LETTERS[: len(texts)] if one != letter):
        assert not right(letter, other, choices)
        for hedge in (f"{letter} or {other}", f"({letter})({other})", f"{letter}, {other}", f"{other}. {letter}."):
            assert not right(letter, hedge, choices)


@some
@given(st.sets(st.sampled_from(LETTERS), min_size=2, max_size=6), st.data())
def test_more_than_one_option_is_none(letters, data):
    listed = data.draw(st.permutations(sorted(letters)))
    forms, joints = ("{}", "({})", "{}.", "{})", "{}:"), (" ", ", ", "; ", " or ", " and ", "/", " | ", " + ", "")
    for form, joint in product(forms, joints):
        text = joint.join(form.format(letter) for letter in listed)
        assert not any(right(letter, text) for letter in listed), text
        assert not any(right(letter, text, ["3 cm", "4 cm", "5 cm", "6 cm"]) for letter in listed if letter in "ABCD")
