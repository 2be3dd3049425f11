# SPDX-License-Identifier: Apache-2.0
"""ViCrit: captions of photographs and the same captions with one wrong phrase, put in by a language model.

`zyang39/ViCrit-Train` (875,495 pairs): columns `image_path`, `problem`, `original_caption`, `changed_caption`,
`solution_original`, `solution_target` (its card). Pictures are not in it: they are those of PixMo-Cap, on the web.
`russwang/ViCrit-Bench` (607): `image` (bytes), `changed_caption`, `original_noun_phrases`, `changed_noun_phrases`: what
the authors' scripts read (si0wang/ViCrit); the right caption is `original_caption`, or the changed one with the phrase
put back. No caption is a response of a policy to our prompt.

The wrong characters are the words in which the two captions differ, as in the authors' score.py, and all of them must
lie in the changed phrase: else the pair does not say for sure which words are wrong, and is left out.
"""

import re

from verl_df.lab.data.fields import Row
from verl_df.lab.data.images import Files
from verl_df.lab.data.spans.differences import differences
from verl_df.lab.data.spans.labelled import Labelled, LeftOut, Response, SpanSource, with_markers
from verl_df.lab.data.spans.pictures import picture_of

PROMPT = "Describe this image in detail."
_PHRASES = (("solution_original", "solution_target"), ("original_noun_phrases", "changed_noun_phrases"))
_IMAGES = ("image", "image_path")
_LICENCE = "none stated for the pairs; captions are PixMo-Cap's (ODC-BY 1.0), pictures of the sites that it names"


def read(row: Row, files: Files) -> Labelled:
    """One pair: the right caption, then the wrong one. Raises: LeftOut, RowError, ValueError."""
    image = next((name for name in _IMAGES if row.get(name) is not None), None)
    if image is None:
        raise ValueError(f"no {' or '.join(map(repr, _IMAGES))}{_has(row)}")
    phrases = next((pair for pair in _PHRASES if all(name in row for name in pair)), None)
    if phrases is None:
        raise ValueError(
            f"no {_PHRASES[0][0]!r} and {_PHRASES[0][1]!r}, as in ViCrit-Train, nor {_PHRASES[1][0]!r} and "
            f"{_PHRASES[1][1]!r}, as in ViCrit-Bench{_has(row)}"
        )
    right_phrase, wrong_phrase = (_text(row, name).strip() for name in phrases)
    wrong = _text(row, "changed_caption")
    right = (
        _text(row, "original_caption")
        if row.get("original_caption") is not None
        else _put_back(wrong, wrong_phrase, right_phrase)
    )
    spans = _wrong_spans(right, wrong, wrong_phrase)
    return Labelled(
        prompt=with_markers(PROMPT, 1),
        images=(picture_of(row[image], files),),
        ground_truth=right_phrase,
        responses=(Response(right, ()), Response(wrong, spans, repair=right)),
        extra_info={"right_caption": right, "wrong_phrase": wrong_phrase},
    )


def _wrong_spans(right: str, wrong: str, phrase: str) -> tuple[tuple[int, int], ...]:
    found = [
        one for one in differences(right, wrong) if f"{right[slice(*one.right)]}{wrong[slice(*one.wrong)]}".strip()
    ]
    if not found:
        raise LeftOut("captions are equal")
    phrases = _occurrences(phrase, wrong)
    for one in found:
        if not any(start <= one.wrong[0] and one.wrong[1] <= end for start, end in phrases):
            part = wrong[slice(*one.wrong)] or right[slice(*one.right)]
            raise LeftOut("captions differ outside the changed phrase", f"{part[:80]!r}; the phrase is {phrase[:80]!r}")
    spans = tuple(one.wrong for one in found if one.wrong[0] < one.wrong[1])
    if not spans:
        raise LeftOut("words are only missing", "no character of the changed caption is wrong")
    return spans


def _put_back(wrong: str, wrong_phrase: str, right_phrase: str) -> str:
    """The right caption of a row without one."""
    places = _occurrences(wrong_phrase, wrong)
    if len(places) != 1:
        raise LeftOut("right caption is not known", f"{len(places)} times {wrong_phrase[:80]!r} in the changed caption")
    ((start, end),) = places
    return wrong[:start] + right_phrase + wrong[end:]


def _occurrences(phrase: str, caption: str) -> list[tuple[int, int]]:
    """The authors compare without regard to case."""
    return [found.span() for found in re.finditer(re.escape(phrase), caption, re.IGNORECASE)]


def _text(row: Row, name: str) -> str:
    if name not in row:
        raise ValueError(f"no {name!r}{_has(row)}")
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name!r} is {repr(value)[:80]}: write a text")
    return value


def _has(row: Row) -> str:
    return f" (it has {', '.join(row)}): is this ViCrit?"


_REWARD = "pkg://verl_df.lab.data.spans.reward"
SOURCES = (
    SpanSource("vicrit", "zyang39/ViCrit-Train", read, _LICENCE, _REWARD),
    SpanSource("vicrit_bench", "russwang/ViCrit-Bench", read, _LICENCE, _REWARD),
)
