# SPDX-License-Identifier: Apache-2.0
"""Nouns behind a number: what may be counted, and singular and plural."""

import re

_NOUNS = re.compile(r"[A-Za-z][A-Za-z'-]*(?: [A-Za-z][A-Za-z'-]*){0,3}")
# Words that make a number another number, a comparison, or one of several statements.
_NO_NOUNS = frozenset(
    "and or nor not no plus minus times over divided by of per to from out in than less more fewer greater extra "
    "other additional another missing short below above under up down at is are was squared cubed square cube root "
    "sqrt sin cos tan log ln exp inf mod factorial hundred thousand million billion trillion dozen lakh crore score "
    "gross half third quarter fourth fifth sixth seventh eighth ninth tenth hundredth thousandth pair couple double "
    "triple twice negative positive percent percentage possibly maybe perhaps but except if unless either both if "
    "fold most least about".split()
)
_IRREGULAR = dict(
    pair.split(":")
    for pair in "people:person men:man women:woman children:child feet:foot teeth:tooth mice:mouse geese:goose "
    "dice:die fish:fish sheep:sheep deer:deer vertices:vertex matrices:matrix".split()
)


def read_noun(text: str) -> tuple[str, ...]:
    """The words of a noun phrase, the head last; empty for a text that may say something else about a number."""
    words = text.lower().split()
    if not _NOUNS.fullmatch(text) or len(words[-1]) < 3:
        return ()
    return () if any(form in _NO_NOUNS for word in words for form in singulars(word)) else tuple(words)


def is_plural(word: str) -> bool:
    """Whether a noun is in the plural: "12 apples" is a number of things, "6 less" is none."""
    return (word.endswith("s") and not word.endswith("ss")) or word in _IRREGULAR


def same_noun(left: str, right: str) -> bool:
    """Whether two words are forms of one noun."""
    return bool(singulars(left) & singulars(right))


def singulars(word: str) -> set[str]:
    """A word and what it may be the plural of."""
    forms = {word, _IRREGULAR.get(word, word)}
    if word.endswith("ves"):
        forms |= {word[:-3] + "f", word[:-3] + "fe"}
    if word.endswith("ies"):
        forms.add(word[:-3] + "y")
    if word.endswith("es"):
        forms.add(word[:-2])
    if word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
    return forms
