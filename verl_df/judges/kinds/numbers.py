# SPDX-License-Identifier: Apache-2.0
"""What the kinds of numbers share: how a truth is recognised, and how an answer is compared with it."""

from collections.abc import Callable

from verl_df.judges.kinds import date, expression, quantities, range_or_score, ratio, time_of_day
from verl_df.judges.kinds.outcome import Outcome, Same, doubt, right, wrong
from verl_df.judges.kinds.quantities import Quantity, read_quantities

_OTHERS = (time_of_day, date, ratio, range_or_score)


def reader(wanted: Callable[[Quantity], bool]) -> Callable[[str], Quantity | None]:
    """Recognises the truths that are one quantity, without doubt, of the wanted form."""

    def read(text: str) -> Quantity | None:
        found = read_quantities(text)
        if len(found) != 1 or any(unit.doubtful for _, unit in found[0].parts):
            return None
        return found[0] if wanted(found[0]) else None

    return read


def compare(truth: Quantity, answer: str, same: Same) -> Outcome:
    """Equal numbers; units are compared, not converted, and one side may leave its unit out."""
    for other in _OTHERS:
        value = other.read(answer)
        if value is None:
            continue
        if (
            other is ratio
            and truth.number.form == "fraction"
            and truth.bare
            and ratio.as_fraction(value) == truth.number.value
        ):
            return right("the same ratio")
        return doubt("a difference or a range") if other is range_or_score else wrong(f"a {other.NAME}")
    outcome = quantities.compare(truth, answer)
    if outcome is not None:
        return outcome
    if len(truth.parts) == 1 and expression.is_mathematical(answer) and "," not in answer:
        return expression.compare(truth.number.text, answer, same) if truth.unit.missing else wrong("not that quantity")
    return wrong("not a number")
