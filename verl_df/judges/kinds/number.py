# SPDX-License-Identifier: Apache-2.0
"""A number as it is written, exact as long as it can be, and when two of them are the same.

Roots and pi make floats, which decide nothing by themselves.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

# Of a value, so that it has a float, times a million too.
_MAX_BITS = 960


@dataclass(frozen=True)
class Number:
    """A number as it is written.

    Attributes:
        value: a Fraction where it is exact, else a float.
        decimal: whether it is written with decimals or a factor that is a power of ten.
        places: of a decimal without arithmetic: the place of its last digit, a power of ten; None for any other.
        form: "integer", "decimal", "fraction", "mixed number" for one that is just written, else "arithmetic".
        text: how it is written.
    """

    value: Fraction | float
    decimal: bool
    places: int | None
    form: str
    text: str

    @property
    def exact(self) -> bool:
        return isinstance(self.value, Fraction)

    def negated(self) -> "Number":
        return Number(-self.value, self.decimal, self.places, self.form, f"-{self.text}")

    def times(self, factor: Fraction, text: str) -> "Number":
        return Number(self.value * factor, self.decimal, None, self.form, f"{self.text} {text}")


class NoNumberError(ValueError):
    """A text that is no arithmetic, or whose value is too large."""


def same_number(left: Number, right: Number) -> bool | None:
    """Whether two numbers are the same; None where only algebra can tell, because one of them is irrational.

    Two that are written as decimals or whole numbers must be equal; beside another one (1/3, sqrt(2)) a decimal with at
    least 6 digits may be its rounding.
    """
    if left.value == right.value and left.exact and right.exact:
        return True
    for decimal, other in ((left, right), (right, left)):
        if decimal.decimal and other.places is None and _digits(decimal) >= 6 and rounds_to(decimal, other.value):
            return True
    if left.exact and right.exact:
        return False
    return None if math.isclose(left.value, right.value, rel_tol=1e-9) else False


def rounds_to(decimal: Number, value: Fraction | float) -> bool:
    """Whether a number that is written with a last digit is the rounding of a value to that digit."""
    if decimal.places is None:
        return False
    return abs(Fraction(value) - Fraction(decimal.value)) <= _power_of_ten(decimal.places) / 2


def _power_of_ten(places: int) -> Fraction:
    return Fraction(10**places) if places >= 0 else Fraction(1, 10**-places)


def _digits(decimal: Number) -> int:
    """Significant digits."""
    return 0 if decimal.places is None else len(str(int(abs(Fraction(decimal.value)) / _power_of_ten(decimal.places))))


def bounded(value: Fraction | float) -> Fraction | float:
    """The value. Raises: NoNumberError: it is too large, or no real number."""
    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
            raise NoNumberError
    elif isinstance(value, complex) or not math.isfinite(value):
        raise NoNumberError
    return value


def factorial(value: Fraction | float) -> Fraction:
    """The factorial of a whole number up to 100. Raises: NoNumberError: of anything else."""
    if not isinstance(value, Fraction) or value.denominator != 1 or not 0 <= value <= 100:
        raise NoNumberError
    return Fraction(math.factorial(int(value)))


def raised(base: Fraction | float, exponent: Fraction | float) -> Fraction | float:
    """A power, exact where it is a fraction. Raises: NoNumberError: it is too large, or no real number."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if abs(exponent) * size > _MAX_BITS:
                raise NoNumberError
            return base ** int(exponent)
        root = _exact_root(base, exponent)
        if root is not None:
            return root
    if base < 0:
        raise NoNumberError
    return float(base) ** float(exponent)


def _exact_root(base: Fraction, exponent: Fraction) -> Fraction | None:
    """base^(1/2) where it is a fraction; other roots are left to algebra."""
    if exponent != Fraction(1, 2) or base < 0:
        return None
    top, bottom = math.isqrt(base.numerator), math.isqrt(base.denominator)
    return Fraction(top, bottom) if Fraction(top * top, bottom * bottom) == base else None
