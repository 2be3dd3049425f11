# SPDX-License-Identifier: Apache-2.0
"""From a response of any length to the text of its final answer, in linear time.

Every pattern over a whole response runs on RE2, whose time grows with the length of the text only.
"""

import re
from functools import lru_cache

import re2

# Of an answer without any mark: a response that is nothing but the answer.
MAX_BARE_CHARACTERS = 100
# Of a line that is looked at for emphasis and sentences; a longer one is no final answer (see `kinds.MAX_CHARACTERS`).
_MAX_LINE = 1000

# A greedy start finds the last one of many in a single pass.
_THOUGHTS = r"(?:think|thinking|thought|reasoning|scratchpad)>"
_LAST_THOUGHT_ENDS = re2.compile(rf"(?is).*</{_THOUGHTS}")
_THOUGHT_STARTS = re2.compile(rf"(?i)<{_THOUGHTS}")
_BOXED = re2.compile(r"\\(?:boxed|fbox)\s*\{")
_TAG = re2.compile(r"(?i)<(/?)answer>")
_OPENED = re2.compile(r"(?i)\\(?:boxed|fbox)\s*\{|<answer>")
_LAST_PHRASE = re2.compile(r"(?is).*(?:\banswer(?:\s+is\b\s*:?|\s*[:=])\s*|(?m:^)####\s*)")
# Of answers that are one list: \boxed{2} and \boxed{3}.
_BETWEEN = re.compile(
    r"(?:[\s$,;.&/|+]|\\text\{\s*(?:and|or)\s*\}|\b(?:and|or)\b|\\[(),\]\[]|\\q?quad)*", re.IGNORECASE
)
_MAX_BETWEEN = 40
_BOLD_AT_END = re.compile(r"^\s*\*\*|\*\*(?=\W*$)")  # of "**Answer:** B" and "the answer is **B**."
# What may follow the sentence with the answer: one of at least three words, and no other answer.
_GOES_ON = re.compile(
    r"\W*(?!(?:or|and|maybe|perhaps|possibly|alternatively|either|nor)\b)[A-Za-z']+ [A-Za-z',]+ [A-Za-z']",
    re.IGNORECASE,
)


def final_answers(response: str) -> list[str]:
    """Readings of a response's final answer, the likeliest first; empty where it gives none.

    Nothing in a thought (`<think>...</think>`, or without an end) is read. The content of the last complete
    `\\boxed{}`, with those right before it ("\\boxed{2} and \\boxed{3}" is the list 2, 3); without one, of the last
    `<answer>` tag; else what follows the last "answer is", "answer:" or "####", to the end of the line, or of the
    sentence; else the response itself if it is one short line.
    """
    marked, unmarked = _read(response)
    return list(unmarked) if marked is None else [marked]


def marked_answer(response: str) -> str | None:
    """What a response itself marks as its answer, in a box or a tag; None where it marks none."""
    return _read(response)[0]


@lru_cache(maxsize=32)  # a rule asks several times for one response
def _read(response: str) -> tuple[str | None, tuple[str, ...]]:
    """What is marked, and the readings where nothing is."""
    response = after_thoughts(response)
    for marked in (_boxes(response), _tags(response)):
        if marked is not None:
            return marked, ()
    phrase = _LAST_PHRASE.match(response)
    if phrase is not None:
        return None, _line(response[phrase.end() :])
    bare = response.strip()
    return None, (bare,) if bare and "\n" not in bare and len(bare) <= MAX_BARE_CHARACTERS else ()


def encodable(text: str) -> str:
    """A text without half surrogates, which no tokenizer makes and RE2 does not read."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_unfinished(response: str) -> bool:
    """Whether a response opens a box or a tag for its answer, and never closes one."""
    return marked_answer(response) is None and _OPENED.search(after_thoughts(response)) is not None


@lru_cache(maxsize=8)
def after_thoughts(response: str) -> str:
    """What comes after the last thought, and before one that does not end."""
    response = encodable(response)
    ended = _LAST_THOUGHT_ENDS.match(response)
    rest = response[ended.end() :] if ended else response
    started = _THOUGHT_STARTS.search(rest)
    return rest[: started.start()] if started else rest


def _boxes(text: str) -> str | None:
    boxes = [match.span() for match in _BOXED.finditer(text)]
    if not boxes:
        return None
    closing = _closing_braces(text)
    whole = [(start, end, closing[end - 1]) for start, end in boxes if end - 1 in closing]
    return _joined(text, [(start, end, outside, outside + 1) for start, end, outside in whole])


def _tags(text: str) -> str | None:
    found, opened = [], None
    for match in _TAG.finditer(text):
        if not match[1]:
            opened = match.span()
        elif opened is not None:
            found.append((*opened, match.start(), match.end()))
            opened = None
    return _joined(text, found)


def _joined(text: str, marks: list[tuple[int, int, int, int]]) -> str | None:
    """The last of the marked texts, in one list with those before it that nothing but a separator parts from it.

    A mark: where it starts, its content starts, its content ends, it ends. Of nested ones the inner counts.
    """
    if not marks:
        return None
    contents: list[str] = []
    first = len(text)
    for start, inside, outside, end in reversed(marks):
        if contents and end > first:
            continue
        if contents and (first - end > _MAX_BETWEEN or not _BETWEEN.fullmatch(text, end, first)):
            break
        contents.append(text[inside:outside].strip())
        first = start
        if not contents[0]:
            break  # the last one is empty: no answer
    return ", ".join(dict.fromkeys(content for content in reversed(contents) if content))


def _closing_braces(text: str) -> dict[int, int]:
    """Position of the closing brace by that of the opening one; \\{ and \\}, the braces of a set, balance as well."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for position, character in enumerate(text):
        if character == "{":
            opened.append(position)
        elif character == "}" and opened:
            pairs[opened.pop()] = position
    return pairs


def _line(text: str) -> tuple[str, ...]:
    line = text.strip().partition("\n")[0]
    if len(line) > _MAX_LINE:
        return (line,)
    line = _BOLD_AT_END.sub("", line).strip()
    sentence, *rest = re.split(r"\.\s", line, maxsplit=1)
    readings = (line, sentence) if rest and _GOES_ON.match(rest[0]) else (line,)
    return tuple(reading for reading in dict.fromkeys(readings) if reading)
