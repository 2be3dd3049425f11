# SPDX-License-Identifier: Apache-2.0
"""Reads numbers as people write them, and arithmetic of them: signs, separators, fractions, powers, roots."""

import math
import re
from fractions import Fraction

from verl_df.judges.kinds.number import NoNumberError, Number, bounded, factorial, raised

MAX_DEPTH = 12
_MAX_DIGITS = 60  # of a number that is written
_NUMBER = re.compile(
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?![,\d])(?:\.\d+)?"
    r"|\d{1,3}(?: \d{3})+(?![\d/]| [\d\\])(?:\.\d+)?"
    r"|\d+(?:\.\d+|\.(?![\s\d]))?|\.\d+)"
    r"(?:\\overline\{(?P<repeats>\d+)\})?(?:[eE](?P<exponent>[+-]?\d{1,3})(?!\d))?"
)
_MIXED = re.compile(
    r"(?:(?P<gap> +)(?P<top>\d+)/(?P<bottom>\d+)| ?\\frac\{(?P<top2>\d+)\}\{(?P<bottom2>\d+)\})(?![\d/])"
)
_TIMES = re.compile(r"\s*(?:(?P<by>\*|\\times|\\cdot)|(?P<over>/)|[xX](?=\s*10\s*\^))\s*")
_SIGN = re.compile(r"\s*([+-]?)\s*")
_FACTOR = re.compile(r" ?(?:\\sqrt|\\pi|\()")  # that may follow without a sign
_POWER = re.compile(r"\s*\^\s*")
_PI = re.compile(r"\\pi(?![A-Za-z])")
_ROOT = re.compile(r"\\sqrt(?:\[([2-9])\])?")
_PLUS = re.compile(r"\s*(?P<sign>[+-])\s*")
_PLAIN_DIFFERENCE = re.compile(r"\d[\d,.]*(?:\s*-\s*\d[\d,.]*)+(?!\s*[+\^!*/\\(\d])")


def read_number(text: str) -> tuple[Number, str] | None:
    """The number at the start of a text in our spelling, and what follows it; None where there is none."""
    reader = _Reader(text)
    try:
        number = reader.sum(0)
    except (NoNumberError, ZeroDivisionError, OverflowError, RecursionError):
        return None
    return number, text[reader.position :]


class _Reader:
    """Recursive descent over one text; each method reads from `position` on as far as it can."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def sum(self, depth: int) -> Number:
        if depth > MAX_DEPTH:
            raise NoNumberError
        start = self.position
        if _PLAIN_DIFFERENCE.match(self.text, start):
            raise NoNumberError  # 10-20: a range, a score, a date or a difference
        total = self._signed(depth)
        while (match := _PLUS.match(self.text, self.position)) is not None:
            back, self.position = self.position, match.end()
            try:
                term = self._product(depth)
            except NoNumberError:
                self.position = back
                break
            value = total.value + term.value if match["sign"] == "+" else total.value - term.value
            total = self._made(start, value, total.decimal or term.decimal)
        return total

    def _signed(self, depth: int) -> Number:
        match = _SIGN.match(self.text, self.position)
        assert match is not None
        self.position = match.end()
        number = self._product(depth)
        return number.negated() if match[1] == "-" else number

    def _product(self, depth: int) -> Number:
        start = self.position
        result, divided = self._power(depth), False
        while True:
            back, match = self.position, _TIMES.match(self.text, self.position)
            if match is None and not _FACTOR.match(self.text, back):
                return result
            if match is not None:
                if match["over"] and divided:
                    raise NoNumberError  # 3/4/2020
                self.position = match.end()
            try:
                factor = self._signed(depth + 1) if match is not None else self._power(depth)
            except NoNumberError:
                self.position = back
                return result
            if match is not None and match["over"]:
                fraction = result.form == factor.form == "integer" and re.fullmatch(
                    r"\d+ ?/ ?\d+", self.text[start : self.position]
                )
                result = self._made(start, result.value / factor.value, result.decimal or factor.decimal)
                if fraction:
                    result = Number(result.value, False, None, "fraction", result.text)
                divided = True
            else:
                scientific = bool(re.match(r"10\s*\^", factor.text)) and result.places is not None
                places = self._places(result, factor) if scientific else None
                result = self._made(start, result.value * factor.value, result.decimal or factor.decimal or scientific)
                if scientific:
                    result = Number(result.value, True, places, "decimal", result.text)

    @staticmethod
    def _places(digits: Number, power: Number) -> int | None:
        exponent = re.sub(r"[{}\s]", "", power.text.partition("^")[2])
        whole = re.fullmatch(r"[+-]?\d{1,3}", exponent)
        return digits.places + int(exponent) if whole and digits.places is not None else None

    def _power(self, depth: int) -> Number:
        start = self.position
        base = self._factor(depth)
        while self.text.startswith("!", self.position):
            self.position += 1
            base = self._made(start, factorial(base.value), False)
        match = _POWER.match(self.text, self.position)
        if match is None:
            return base
        self.position = match.end()
        exponent = self._signed(depth + 1) if self.text.startswith("-", self.position) else self._power(depth + 1)
        return self._made(start, raised(base.value, exponent.value), base.decimal)

    def _factor(self, depth: int) -> Number:
        text, start = self.text, self.position
        for opening, closing in (("(", ")"), ("{", "}")):
            if text.startswith(opening, start):
                self.position += 1
                inside = self.sum(depth + 1)
                self._expect(closing)
                return self._made(start, inside.value, inside.decimal)
        if text.startswith("\\frac{", start):
            return self._fraction(depth)
        if text.startswith("\\sqrt", start):
            return self._root(depth)
        if _PI.match(text, start):
            self.position += 3
            return self._made(start, math.pi, False)
        return self._written()

    def _fraction(self, depth: int) -> Number:
        start = self.position
        top, bottom = self._braced("\\frac", depth), self._braced("", depth)
        made = self._made(start, top.value / bottom.value, top.decimal or bottom.decimal)
        form = "fraction" if top.form == bottom.form == "integer" else made.form
        return Number(made.value, made.decimal, None, form, made.text)

    def _root(self, depth: int) -> Number:
        start = self.position
        match = _ROOT.match(self.text, start)
        assert match is not None
        inside = self._braced(match[0], depth)
        return self._made(start, raised(inside.value, Fraction(1, int(match[1] or 2))), inside.decimal)

    def _braced(self, command: str, depth: int) -> Number:
        self._expect(command + "{")
        inside = self.sum(depth + 1)
        self._expect("}")
        return inside

    def _expect(self, what: str) -> None:
        place = self.position
        while self.text.startswith(" ", place):
            place += 1
        if not self.text.startswith(what, place):
            raise NoNumberError
        self.position = place + len(what)

    def _written(self) -> Number:
        start, match = self.position, _NUMBER.match(self.text, self.position)
        if match is None or len(match["digits"]) > _MAX_DIGITS:
            raise NoNumberError
        self.position = match.end()
        digits = re.sub(r"[, ]", "", match["digits"])
        exponent = int(match["exponent"] or 0)
        decimals = len(digits.partition(".")[2])
        value = bounded(Fraction(digits.rstrip(".")) * Fraction(10) ** exponent)
        decimal = "." in digits or match["exponent"] is not None
        if match["repeats"]:
            value += Fraction(int(match["repeats"]), (10 ** len(match["repeats"]) - 1) * 10**decimals)
            return self._made(start, value, False)
        whole = not decimal and re.fullmatch(r"\d+", match["digits"])
        mixed = _MIXED.match(self.text, self.position) if whole else None
        if mixed is None:
            form = "decimal" if decimal else "integer"
            return Number(value, decimal, exponent - decimals, form, match[0])
        top, bottom = int(mixed["top"] or mixed["top2"]), int(mixed["bottom"] or mixed["bottom2"])
        if not 0 < top < bottom:
            raise NoNumberError  # 3 5/2, 2\frac{3}{2}: a mixed number, or a product
        self.position = mixed.end()
        return Number(value + Fraction(top, bottom), False, None, "mixed number", self.text[start : self.position])

    def _made(self, start: int, value: Fraction | float, decimal: bool) -> Number:
        return Number(bounded(value), decimal, None, "arithmetic", self.text[start : self.position].strip())
