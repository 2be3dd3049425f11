# SPDX-License-Identifier: Apache-2.0
"""Units of measure and nouns after a number, in one spelling each; compared, never converted."""

import re

_UNIT_NAMES = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "dm": "decimeter decimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "mg": "milligram",
    "g": "gram gramme",
    "kg": "kilogram kilo",
    "lb": "pound lbs",
    "oz": "ounce",
    "ml": "milliliter millilitre",
    "l": "liter litre",
    "ms": "millisecond",
    "s": "second sec",
    "min": "minute mins",
    "h": "hour hr hrs",
    "day": "",
    "week": "",
    "month": "",
    "year": "yr yrs",
    "°": "degree deg",
    "°c": "celsius",
    "°f": "fahrenheit",
    "%": "percent pct",
    "rad": "radian",
    "n": "newton",
    "j": "joule",
    "kj": "kilojoule",
    "w": "watt",
    "kw": "kilowatt",
    "v": "volt",
    "a": "ampere amp",
    "ω": "ohm",
    "k": "kelvin",
    "pa": "pascal",
    "kpa": "kilopascal",
    "hz": "hertz",
    "mol": "mole",
    "usd": "dollar",
    "eur": "euro €",
    "gbp": "£",
    "cent": "",
}
_ALIASES = {alias: unit for unit, names in _UNIT_NAMES.items() for alias in (unit, *names.split())}
_NO_UNIT = {"unit", "units"}
# Words after a number that make it another number or another statement.
_MATH_WORDS = frozenset(
    "and or not plus minus times over divided squared cubed sqrt sin cos tan log exp inf mod hundred thousand million "
    "billion trillion".split()
)
_UNIT_PIECE = re.compile(
    r"\s*(?:(?P<word>°?[A-Za-zΩω]+|[°%€£])|(?P<power>\^\s*\{?\s*-?\d\s*\}?)|(?P<sign>/|\*|\\cdot))\s*"
)


def unit_of(text: str, *, known_only: bool = False) -> str | None:
    """A unit in one spelling: "square centimetres" is "cm^2"; "" for no unit; None for a text that is no unit.

    Nouns (`12 red apples`) count as units too unless `known_only`; their plural s is dropped.
    """
    pieces, position = [], 0
    prefix = ""
    while position < len(text):
        match = _UNIT_PIECE.match(text, position)
        if match is None:
            return None
        position = match.end()
        word = (match["word"] or "").casefold()
        if word in ("square", "sq", "cubic", "cu"):
            prefix = "^2" if word.startswith("s") else "^3"
            continue
        if word == "per":
            pieces.append("/")
            continue
        if word in _NO_UNIT:
            prefix = ""
            continue
        piece = _unit_word(word, known_only) if word else re.sub(r"[\s{}]", "", match[0])
        if piece is None:
            return None
        pieces.append(piece if piece in ("/", "*") or piece[0] == "^" else piece + prefix)
        prefix = "" if word else prefix
    return _joined(pieces)


def same_unit(left: str, right: str) -> bool:
    """Whether two results of `unit_of` may stand for one another: equal, one missing, or one noun phrase in the other
    (apples, red apples).
    """
    if not left or not right or left == right:
        return True
    if left.split()[-1] in _ALIASES or right.split()[-1] in _ALIASES:
        return False
    return set(left.split()) <= set(right.split()) or set(right.split()) <= set(left.split())


def _joined(pieces: list[str]) -> str:
    text = " ".join(pieces)
    return re.sub(r"\s*([/^])\s*", r"\1", text.replace("\\cdot", " ").replace("*", " ")).strip()


def _unit_word(word: str, known_only: bool) -> str | None:
    for form in (word, word.removesuffix("s")):
        if form in _ALIASES:
            return _ALIASES[form]
    if known_only or len(word) < 3 or word in _MATH_WORDS:
        return None
    return word.removesuffix("s")
