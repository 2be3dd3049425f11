# SPDX-License-Identifier: Apache-2.0
"""What a number measures or counts: units by pint, behind our spelling of LaTeX, currencies, and nouns.

Units are compared, never converted.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

import pint

from verl_df.judges.kinds.nouns import read_noun, same_noun

# Spellings that pint does not know, in its own words.
_SPELT = dict(
    pair.split(":")
    for pair in "°:degree deg:degree °C:degree_Celsius °F:degree_Fahrenheit %:percent pct:percent hrs:hour hr:hour "
    "sec:second wk:week mo:month Kg:kilogram KG:kilogram kgs:kilogram kilo:kilogram gramme:gram Km:kilometer "
    "KM:kilometer kms:kilometer CM:centimeter Cm:centimeter cms:centimeter Å:angstrom kmph:kilometer_per_hour".split()
)
# Of one letter only these are units, and only after a blank (5 m); the others are variables, or constants to pint.
_LETTERS = frozenset("m g s h L l N J W V A K C F T H Ω °".split())
# Right behind a number, 5ab, short ones are variables as well, but for these.
_MAY_BE_VARIABLES = re.compile("[A-Za-z]|[a-z]{2,3}")
_SYMBOLS = frozenset(
    "mm cm dm km nm um in ft yd mi mg kg lb lbs oz ml cl dl gal ms ns min hr hrs sec yr cal bar atm psi mol rad deg "
    "bit ppm mph kph rpm kms cms kgs wk mo usd eur gbp pct".split()
)
_CURRENCIES = {
    symbol: name
    for name, symbols in {
        "dollar": "$ us$ usd dollar",
        "euro": "€ eur euro",
        "pound sterling": "£ gbp",
        "yen": "¥ jpy yen",
        "yuan": "cny rmb yuan",
        "rupee": "₹ rs inr rupee",
        "won": "₩ krw",
        "cent": "¢ cent",
    }.items()
    for symbol in symbols.split()
}
_NOT_PINTS = frozenset("unit pin point dot count cat turn hand stone barn rod chain link".split())
_COMMANDS = (
    (re.compile(r"\\mu\s*(?=[A-Za-z])"), "μ"),
    (re.compile(r"\\Omega"), "Ω"),
    (re.compile(r"\\cdot|\\times"), "*"),
    (re.compile(r"(?:\b(?i:degrees?|deg)\.?|°) *(?:(?i:celsius|centigrade)|C)\b"), "°C"),
    (re.compile(r"(?:\b(?i:degrees?|deg)\.?|°) *(?:(?i:fahrenheit)|F)\b"), "°F"),
    (re.compile(r"(?i)\bper cent\b"), "%"),
    (re.compile(r"(?i)\b([a-z]+) squared\b"), r"\1^2"),
    (re.compile(r"(?i)\b([a-z]+) cubed\b"), r"\1^3"),
)
_PIECE = re.compile(
    r"\s*(?:(?P<word>°[CF]?|[A-Za-zμΩÅ]+|[%$€£¥₹₩¢]|US\$)(?P<digit>[23](?![\d.]))?\.?"
    r"|\^\s*\{?\s*(?P<power>-?\d)\s*\}?|(?P<sign>[/*]|-(?=[A-Za-z]))|(?P<bracket>[()]))"
)
_MEASURES = re.compile(r"\s+(?:long|wide|high|tall|deep|thick|old|away|each|in total|total)$")


@dataclass(frozen=True)
class Unit:
    """What stands behind a number.

    Attributes:
        powers: units of measure, or a currency, with their exponents, sorted; empty for none.
        nouns: what is counted, the head last; empty for a measure.
        doubtful: whether it may as well be a variable (5m), so that a bare number is not its equal.
    """

    powers: tuple[tuple[str, int], ...] = ()
    nouns: tuple[str, ...] = ()
    doubtful: bool = False

    @property
    def missing(self) -> bool:
        return not self.powers and not self.nouns

    @property
    def is_percent(self) -> bool:
        return self.powers == (("percent", 1),)


NONE = Unit()


def same_unit(left: Unit, right: Unit) -> bool:
    """Whether two units may stand for one another: equal, one of them left out, or one noun phrase in the other."""
    if left.missing or right.missing:
        return not (left.doubtful or right.doubtful)
    if left.powers or right.powers:
        return left.powers == right.powers
    small, large = sorted((left.nouns, right.nouns), key=len)
    return same_noun(small[-1], large[-1]) and all(any(same_noun(one, other) for other in large) for one in small)


@lru_cache(maxsize=4096)
def read_unit(text: str, attached: bool = False) -> Unit | None:
    """A unit, a currency or a noun phrase; NONE for nothing or "units"; None for a text that is none of these.

    Args:
        text: what follows a number, in our spelling.
        attached: whether it follows without a blank.
    """
    for pattern, spelling in _COMMANDS:
        text = pattern.sub(spelling, text)
    text = _MEASURES.sub("", text.strip())
    if not text:
        return NONE
    if len(text) > 60 or (attached and text in ("st", "nd", "rd", "th")):
        return None
    powers = _powers(text)
    if powers is not None:
        doubtful = attached and _MAY_BE_VARIABLES.fullmatch(text) is not None and text not in _SYMBOLS
        return Unit(powers, doubtful=doubtful)
    words = () if attached else read_noun(text)
    return Unit(nouns=words) if words else None


def currency(symbol: str) -> Unit:
    """The unit of a currency's symbol before a number."""
    return Unit(((_CURRENCIES[symbol.lower()[-1] if symbol.lower() not in _CURRENCIES else symbol.lower()], 1),))


def _powers(text: str) -> tuple[tuple[str, int], ...] | None:
    found: dict[str, int] = {}
    position, sign, prefix, last, within = 0, 1, 1, "", False
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            return None
        position = match.end()
        word = match["word"]
        if match["bracket"]:
            within = match["bracket"] == "(" and sign < 0
            if match["bracket"] == ")":
                sign = 1
        elif match["power"] and last:
            found[last] += (int(match["power"]) - 1) * (1 if found[last] > 0 else -1)
            last = ""
        elif match["sign"] or word == "per":
            sign = -1 if match["sign"] == "/" or word == "per" else sign if within else 1
        elif word and word.lower() in ("square", "sq", "cubic", "cu"):
            prefix = 2 if word.lower().startswith("s") else 3
        elif word and word.lower() in ("unit", "units"):
            last, prefix = "", 1
        elif word:
            powers = _unit_powers(word)
            if not powers:
                return None
            times = sign * (int(match["digit"]) if match["digit"] else prefix)
            for name, power in powers:
                found[name] = found.get(name, 0) + times * power
            last, prefix = (powers[0][0] if len(powers) == 1 else ""), 1
            sign = sign if within else 1
        else:
            return None
    return tuple(sorted((name, power) for name, power in found.items() if power))


@cache
def _registry() -> pint.UnitRegistry:
    return pint.UnitRegistry(cache_folder=None)


def _unit_powers(word: str) -> tuple[tuple[str, int], ...]:
    """Of mph those of mile and hour, of kWh those of kilowatt and hour; empty for a word that is no unit."""
    name = _unit_name(word) or ""
    top, _, bottom = name.partition("_per_")
    if bottom and "_" not in top + bottom:
        return ((top, 1), (bottom, -1))
    if name.endswith("watt_hour"):
        return ((name.removesuffix("_hour"), 1), ("hour", 1))
    return ((name, 1),) if name else ()


@lru_cache(maxsize=4096)
def _unit_name(word: str) -> str | None:
    if len(word) == 1 and word.isalpha() and word not in _LETTERS:
        return None
    for form in _forms(word):
        if form in _SPELT:
            return _SPELT[form]
        if form.lower() in _CURRENCIES:
            return _CURRENCIES[form.lower()]
        if form.lower() in _NOT_PINTS or (len(form) == 1 and form not in _LETTERS and form != "%"):
            continue
        named = _registry().parse_unit_name(form)
        if named:
            prefix, name, _ = named[0]
            return f"{prefix}{name}"
    return None


def _forms(word: str) -> list[str]:
    """A symbol as it is (mW is no MW), a word of four letters or more in small letters too; also without a plural s."""
    forms = [word, word.lower()] if len(word) > 3 else [word]
    return [*forms, *(form[:-1] for form in forms if len(form) > 3 and form.endswith("s") and not form.endswith("ss"))]
