# SPDX-License-Identifier: Apache-2.0
"""A number with what it measures or counts, and when two of them are the same."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from verl_df.judges import expressions
from verl_df.judges.kinds import units
from verl_df.judges.kinds.arithmetic import read_number
from verl_df.judges.kinds.nouns import is_plural
from verl_df.judges.kinds.number import Number, same_number
from verl_df.judges.kinds.outcome import Outcome, doubt, right, wrong
from verl_df.judges.kinds.units import Unit, read_unit, same_unit

_ABOUT = re.compile(r"(?i)\s*(?:\\approx|\\sim(?:eq)?\b|about|approximately|approx\.?|around|roughly|circa)\s*")
_ABOUT_AT_END = re.compile(r"(?i)\s+(?:approximately|approx\.?|or so)$")
_CURRENCY = re.compile(r"\s*(?P<sign>[+-]?)\s*(?P<symbol>(?:US|A|C|HK|NZ|S)?\$|[€£¥₹₩])\s*(?=[-+\d.])")
_FEET = re.compile(r"(?<![\d.])(\d{1,4})'\s*(\d{1,2}(?:\.\d+)?)\"$")
_POWERS_OF_TEN = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "lakh": 5, "crore": 7}
_FACTORS = {
    **{word: Fraction(10) ** power for word, power in _POWERS_OF_TEN.items()},
    **{
        "dozen": Fraction(12),
        "score": Fraction(20),
        "gross": Fraction(144),
        "half": Fraction(1, 2),
        "halve": Fraction(1, 2),
    },
    **{
        "quarter": Fraction(1, 4),
        "tenth": Fraction(1, 10),
        "hundredth": Fraction(1, 100),
        "thousandth": Fraction(1, 1000),
    },
    **{word: Fraction(1, 3 + n) for n, word in enumerate("third fourth fifth sixth seventh eighth ninth".split())},
}
_WORD = re.compile(rf"(?i)\s+(?:a )?(?P<word>{'|'.join(_FACTORS)})s?\b")
_LETTER = re.compile(r"(?P<letter>[kKMB]|mn|bn|mio)(?![A-Za-z\d^])")
_LETTERS = {"k": 3, "m": 6, "mn": 6, "mio": 6, "b": 9, "bn": 9}
_FACTORIAL = re.compile(r"(?i)\s+factorial\b")
# Brackets around several things, or between commas: a tuple, a set, an interval.
_SEQUENCE = re.compile(r"\s*[(\[]|\s*\\?\{")


@dataclass(frozen=True)
class Quantity:
    """Numbers with their units.

    Attributes:
        parts: one, or several as in 5 ft 3 in.
        shortened: whether a letter was read as thousand, million or billion (5k), which could be a variable or a unit.
    """

    parts: tuple[tuple[Number, Unit], ...]
    shortened: bool = False

    @property
    def number(self) -> Number:
        return self.parts[0][0]

    @property
    def unit(self) -> Unit:
        return self.parts[0][1]

    @property
    def bare(self) -> bool:
        return len(self.parts) == 1 and self.unit.missing


def read_quantities(text: str) -> list[Quantity]:
    """The readings of a text in our spelling as a quantity, the likeliest first; none where it is something else."""
    return [*_read(text)]


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[Quantity, ...]:
    text = _FEET.sub(r"\1 ft \2 in", _ABOUT_AT_END.sub("", _without_about(text)))
    if _SEQUENCE.match(text) and "," in text:
        return ()
    symbol = _CURRENCY.match(text)
    start = symbol.end() if symbol else 0
    found = read_number(text[start:])
    if found is None:
        return ()
    number, rest = found
    if symbol and symbol["sign"] == "-":
        number = number.negated()
    before = units.currency(symbol["symbol"]) if symbol else units.NONE
    readings = [_shortened(number, rest, before), _whole(number, rest, before)]
    return tuple(reading for reading in readings if reading is not None)


def _without_about(text: str) -> str:
    match = _ABOUT.match(text)
    return text[match.end() :] if match else text


def _shortened(number: Number, rest: str, before: Unit) -> Quantity | None:
    match = _LETTER.match(rest)
    if match is None or number.form not in ("integer", "decimal"):
        return None
    scaled = number.times(Fraction(10) ** _LETTERS[match["letter"].lower()], match["letter"])
    whole = _whole(scaled, rest[match.end() :], before)
    return whole and replace(whole, shortened=before.missing)


def _whole(number: Number, rest: str, before: Unit) -> Quantity | None:
    word = _WORD.match(rest)
    if word is not None:
        number, rest = number.times(_FACTORS[word["word"].lower()], word["word"]), rest[word.end() :]
    elif _FACTORIAL.match(rest):
        again = read_number(f"({number.text})!")
        return again and Quantity(((again[0], units.NONE),))
    if not before.missing:
        after = read_unit(rest, attached=False)
        return Quantity(((number, before),)) if after is not None and (after.missing or after == before) else None
    unit = read_unit(rest, attached=bool(rest) and not rest[0].isspace())
    if unit is not None:
        return Quantity(((number, unit),))
    return _compound(number, rest)


def _compound(number: Number, rest: str) -> Quantity | None:
    """5 ft 3 in: a measure, and another one behind it."""
    next_number = re.search(r"\d", rest)
    if next_number is None or next_number.start() > 20:
        return None
    unit = read_unit(re.sub(r"(?:,|\band)\s*$", "", rest[: next_number.start()]).strip())
    if unit is None or not unit.powers or unit.is_percent:
        return None
    found = read_number(rest[next_number.start() :])
    more = _whole(found[0], found[1], units.NONE) if found else None
    if more is None or any(not one.powers or one.is_percent for _, one in more.parts):
        return None
    return Quantity(((number, unit), *more.parts))


def same_quantity(truth: Quantity, answer: Quantity) -> bool:
    """Whether two quantities are the same.

    A unit may be left out. A percent sign may be meant as a unit (50% is 50) or as a hundredth (50% is 0.5); beside a
    truth without it only numbers above 1 are meant as a unit (0.25% is no 0.25).
    """
    if len(truth.parts) != len(answer.parts):
        return False
    return all(_same_part(one, other) for one, other in zip(truth.parts, answer.parts, strict=True))


def _same_part(truth: tuple[Number, Unit], answer: tuple[Number, Unit]) -> bool:
    (number, unit), (other, other_unit) = truth, answer
    if not same_unit(unit, other_unit):
        return False
    hundredth = Fraction(1, 100)
    unmeant = other_unit.is_percent and not unit.is_percent and -1 <= other.value <= 1
    pairs = [] if unmeant else [(number, other)]
    if unit.is_percent and not other_unit.is_percent:
        pairs.append((number.times(hundredth, r"\cdot 0.01"), other))
    if other_unit.is_percent and not unit.is_percent:
        pairs.append((number, other.times(hundredth, r"\cdot 0.01")))
    for one, another in pairs:
        same = same_number(one, another)
        if same or (same is None and expressions.equal(one.text, another.text)):
            return True
    return False


def compare(truth: Quantity, answer: str) -> Outcome | None:
    """The outcome for an answer that is a quantity; None for one that is something else."""
    readings = read_quantities(answer)
    if not readings:
        return None
    for reading in readings:
        if same_quantity(truth, reading):
            counted = reading.unit.nouns and truth.unit.missing and not truth.unit.nouns
            if counted and not is_plural(reading.unit.nouns[-1]) and reading.number.value != 1:
                return doubt(f"{reading.unit.nouns[-1]!r} may make it another number")
            return right("the same number" if truth.bare else "the same number and unit")
    if any(reading.unit.doubtful or reading.shortened for reading in readings):
        return doubt("the letter behind the number may be a unit, a variable or a power of ten")
    same_value = [
        one for one in readings if len(one.parts) == 1 == len(truth.parts) and same_number(one.number, truth.number)
    ]
    return wrong("another unit" if same_value else "another number")
