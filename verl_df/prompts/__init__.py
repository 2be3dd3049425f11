# SPDX-License-Identifier: Apache-2.0
"""Prompt of the repair model. One function renders it for SFT and for reinforcement learning, so that they agree."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

TEMPLATE_FILE = Path(__file__).with_name("repair.txt")
PLACEHOLDERS = ("question", "response", "reference")
_VISION_MARKERS = re.compile("<image>|<video>")


@cache
def load_template(path: Path = TEMPLATE_FILE) -> str:
    """Read a repair template.

    Raises:
        ValueError: if a placeholder {question}, {response} or {reference} is missing or occurs twice.
    """
    text = path.read_text().strip()
    for name in PLACEHOLDERS:
        if text.count(f"{{{name}}}") != 1:
            raise ValueError(f"{path}: the template must contain {{{name}}} exactly once")
    return text


def render_repair(question: str, response: str, reference: str, template: str | None = None) -> str:
    """Text of the user message that asks for a repair ŷ ~ p_φ(·| x, y, a) (Eq. 5).

    Args:
        question: the original user text. Its `<image>` or `<video>` markers stay where they are.
        response: the erroneous trajectory y, decoded without special tokens.
        reference: a, a correct sibling's text or the annotated answer.
        template: another template text; by default the file `repair.txt`.

    Markers inside `response` or `reference` are dropped: a policy may emit one, but no image belongs to it and the
    count of markers must equal the count of images.
    """
    values = {
        "question": question,
        "response": _without_markers(response),
        "reference": _without_markers(reference),
    }
    # One pass over the template, so that braces in a value (\boxed{3}) are never read as a placeholder.
    pattern = "|".join(rf"\{{{name}\}}" for name in PLACEHOLDERS)
    return re.sub(pattern, lambda match: values[match.group(0)[1:-1]], template or load_template())


def _without_markers(text: str) -> str:
    while _VISION_MARKERS.search(text):  # again, for taking one out may leave another behind: <im<image>age>
        text = _VISION_MARKERS.sub("", text)
    return text
