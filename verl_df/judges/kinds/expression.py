# SPDX-License-Identifier: Apache-2.0
"""Expressions and equations: mathematics that is nothing simpler.

Recognises: a text of digits, variables, operators and LaTeX without a word of a language, such as 2a, x^2+1, 2\\pi r.
Compares: by math-verify, in a process with limits of time and memory; variables are case-sensitive; a factor or an
exponent is never dropped. A unit at the end may be left out.
Refuses: texts with words, colons or several statements, and texts of more than 400 characters.
"""

import re

from verl_df.judges import expressions
from verl_df.judges.kinds.outcome import Example, Outcome, Same, right, wrong
from verl_df.judges.kinds.units import NONE, Unit, read_unit, same_unit

NAME = "expression"
EXAMPLES = (
    Example("5a", ("5a", "5 a", r"5\cdot a", "a*5"), ("5", "5A", "5b", "a", "5a^2", "5a + 1")),
    Example("x^2+2x+1", ("(x+1)^2", "1 + 2x + x**2", "x² + 2x + 1"), ("x^2+1", "(x-1)^2", "x^2+2y+1", "1")),
    Example("x^{-1}", (r"\frac{1}{x}", "1/x", "x⁻¹"), ("x", "-x", "x^1")),
    Example("x_2", ("x₂", "x_{2}"), ("x2", "x^2", "x", "2")),
    Example(r"\frac{1}{2}h", ("h/2", "0.5h"), ("1/2", "h")),
    Example("x^2 + y^2 = 25", ("x^2+y^2=25", "25 = x^2 + y^2"), ("x^2 + y^2 = 5", "25", "x^2 + y^2")),
)

# Words that belong to mathematics; a text with any other word is compared as a text (`cat` is no product of letters).
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp sqrt lim max min gcd lcm mod".split()
)
_COMMAND = re.compile(r"\\(?:begin|end)\{[a-z]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{3,}|\b(?i:or|to|of|is|in|at|by|no|so|if|an|as|we|it|am|pm)\b")
_MATHEMATICAL = re.compile(r"[\d\\+*/^=<>(){}\[\]|-]|^[A-Za-z]$")
_NO_EXPRESSION = re.compile(
    r"[:;?$\"&%#@~`]|\\(?:text|boxed|fbox|approx|sim|ne)(?![A-Za-z])|(?<![A-Za-z'})])'|\d\s*_|[^\x00-\x7f°∆αβγθλμωφδεσρτ]"
)
_TWO_NUMBERS = re.compile(r"(?<![_\d])\d+\s+[\d.]")
_UNIT_AT_END = re.compile(r"(?:\s+|(?<=[\d})]))(?P<unit>(?:[A-Za-z]{2,}|°)[A-Za-z°/ ^{}2-3-]*)$")


def is_mathematical(text: str) -> bool:
    """Whether a text can be an expression: digits, operators, commands or one letter, and no word of a language."""
    plain = _COMMAND.sub(" ", text)
    if _TWO_NUMBERS.search(text):
        return False
    if not _MATHEMATICAL.search(text) or _NO_EXPRESSION.search(text.replace("\\ne", "")):
        return False
    return all(word.casefold() in _FUNCTIONS for word in _WORD.findall(plain))


def read(text: str) -> str | None:
    """The text itself where it can be mathematics."""
    body, _ = _without_unit(text)
    return text if is_mathematical(body) and "," not in _outside(body) else None


def compare(truth: str, answer: str, same: Same) -> Outcome:
    """By math-verify, after the units at the ends."""
    if _packed(truth) == _packed(answer):
        return right("the same expression")
    (left, unit), (other, other_unit) = _without_unit(truth), _without_unit(answer)
    if not is_mathematical(other) or _several(other) != _several(left):
        return wrong("not an expression")
    if ("=" in left) != ("=" in other):
        return wrong("an equation and an expression")
    if not same_unit(unit, other_unit):
        return wrong("another unit")
    letters, others = _letters(left), _letters(other)
    if letters != others and {one.lower() for one in letters} == {one.lower() for one in others}:
        return wrong("capitals are other variables")  # to math-verify they are the same
    if expressions.equal(left, other):
        return right("math-verify finds the same expression")
    return wrong("math-verify finds another expression")


def _packed(text: str) -> str:
    return re.sub(r"(?<![A-Za-z\d]) | (?![A-Za-z\d])", "", text)


def _letters(text: str) -> set[str]:
    return set(re.findall("[A-Za-z]", _COMMAND.sub(" ", text)))


def _several(text: str) -> bool:
    return "," in _outside(text)


def _outside(text: str) -> str:
    """A text without what stands in brackets."""
    depth, kept = 0, []
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth <= 0:
            kept.append(character)
    return "".join(kept)


def _without_unit(text: str) -> tuple[str, Unit]:
    match = _UNIT_AT_END.search(text)
    unit = read_unit(match["unit"], attached=not match[0][0].isspace()) if match else None
    if match is None or unit is None or not unit.powers or unit.doubtful:
        return text, NONE
    return text[: match.start()].strip(), unit
