# SPDX-License-Identifier: Apache-2.0
"""Choices that a source writes into the text of its question."""

import re

_HEAD = re.compile(r"(?:^|\n)\s*(?:Options?|Choices?):\s*", re.IGNORECASE)
# A: text | A. text | A) text | (A) text
_FORMS = (r"{}\s?:", r"{}\.", r"\({}\)", r"{}\)")


def read_options(text: str) -> tuple[str, ...]:
    """The texts of the choices after the last "Options:" or "Choices:" of a text, A first; () where none can be read.

    The first one must follow that word at once; the others follow a comma or begin a line, in the same form and in the
    order of the alphabet. "Options: A: a cat, B: a dog, or a fox" has two of them.
    """
    heads = list(_HEAD.finditer(text))
    rest = text[heads[-1].end() :] if heads else ""
    for form in _FORMS:
        first = re.match(form.format("A") + r"\s*", rest)
        if first:
            options = _split(rest[first.end() :], form)
            return options if len(options) > 1 else ()
    return ()


def _split(rest: str, form: str) -> tuple[str, ...]:
    options = []
    for following in "BCDEFGHIJ":
        match = re.search(r"(?:,\s+|\s*\n\s*)" + form.format(following) + r"\s*", rest)
        if match is None:
            break
        options.append(rest[: match.start()].strip())
        rest = rest[match.end() :]
    return (*options, rest.strip())
