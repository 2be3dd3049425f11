# SPDX-License-Identifier: Apache-2.0
"""Numbers as people write them: signs, separators, fractions, powers of ten, and what they count or measure."""

import re
from dataclasses import dataclass
from fractions import Fraction

from verl_df.judges.units import same_unit, unit_of

# Relative; between a number with decimals and another one.
TOLERANCE = Fraction(1, 10**6)

_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+"
_TEN = r"\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*"
_POWER = rf"(?:[eE](?P<exponent>[+-]?\d{{1,3}})(?!\d)|{_TEN}\{{?(?P<power>[+-]?\d{{1,3}})\}}?(?!\d))"
_FRACTION = r"\\frac\s*(?:\{(?P<top>\d{1,30})\}|(?P<top1>\d))\s*(?:\{(?P<bottom>\d{1,30})\}|(?P<bottom1>\d))"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:(?P<slash_top>\d{{1,30}})\s*/\s*(?P<slash_bottom>\d{{1,30}})(?![\d.])"
    rf"|(?:(?P<whole>\d{{1,30}})\s*)?{_FRACTION}|(?P<digits>{_DIGITS}){_POWER}?)(?P<unit>.*)",
    re.DOTALL,
)
_MAX_DIGITS = 60


@dataclass(frozen=True)
class Quantity:
    """A number with its unit.

    Attributes:
        value: the exact number.
        decimal: whether it is written with decimals or a power of ten, so that it may be rounded.
        unit: see `unit_of`; "" where there is none.
    """

    value: Fraction
    decimal: bool
    unit: str

    def equals(self, other: "Quantity") -> bool:
        """Equal values in compatible units; units are compared, never converted. A percent sign may be meant as a
        unit (50% is 50) or as a hundredth (50% is 0.5).
        """
        if not same_unit(self.unit, other.unit):
            return False
        values, others = self._readings(other), other._readings(self)
        loose = self.decimal or other.decimal
        return any(_close(left, right, loose) for left in values for right in others)

    def _readings(self, other: "Quantity") -> list[Fraction]:
        one_percent = self.unit == "%" and other.unit != "%"
        return [self.value, self.value / 100] if one_percent else [self.value]


def read_quantity(text: str) -> Quantity | None:
    """A normalised text (see `answer_text.normalise`) as one number with or without a unit; None if it is not one."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    unit = unit_of(match["unit"])
    value = _value(match)
    if unit is None or value is None:
        return None
    decimal = match["digits"] is not None and ("." in match["digits"] or bool(match["exponent"] or match["power"]))
    return Quantity(-value if match["sign"] == "-" else value, decimal, unit)


def _value(match: re.Match[str]) -> Fraction | None:
    if match["slash_top"]:
        return _ratio(match["slash_top"], match["slash_bottom"])
    if match["digits"]:
        digits = match["digits"].replace(",", "")
        if len(digits) > _MAX_DIGITS:
            return None
        return Fraction(digits.rstrip(".")) * Fraction(10) ** int(match["exponent"] or match["power"] or 0)
    part = _ratio(match["top"] or match["top1"], match["bottom"] or match["bottom1"])
    return None if part is None else part + int(match["whole"] or 0)


def _ratio(top: str, bottom: str) -> Fraction | None:
    return Fraction(int(top), int(bottom)) if int(bottom) else None


def _close(left: Fraction, right: Fraction, loose: bool) -> bool:
    return left == right or (loose and abs(left - right) <= TOLERANCE * max(abs(left), abs(right)))
