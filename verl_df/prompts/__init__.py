# SPDX-License-Identifier: Apache-2.0
"""Prompt templates: of the repair model, of the judge and of the auditor; each a text file that can be replaced.

A template names its placeholders in braces, `{question}`, each exactly once. One function reads and checks any
template, one fills it; `render_repair` is the only place that makes a repair prompt, for SFT, RL and
inference alike, so that they agree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

TEMPLATE_FILE = Path(__file__).with_name("repair.txt")
PLACEHOLDERS = ("question", "response", "reference")
# Of the control that answers again after the reference, without seeing the wrong response.
ANSWER_AGAIN_FILE = Path(__file__).with_name("answer_again.txt")
ANSWER_AGAIN_PLACEHOLDERS = ("question", "reference")
# Put into a prompt where a pass of the policy is to see a right response.
SHOWN_FILE = Path(__file__).with_name("shown.txt")
SHOWN_PLACEHOLDERS = ("reference",)
JUDGE_FILE = Path(__file__).with_name("judge.txt")
JUDGE_PLACEHOLDERS = ("question", "ground_truth", "response")
AUDITOR_FILE = Path(__file__).with_name("auditor.txt")
AUDITOR_PLACEHOLDERS = ("question", "reference", "response", "repair", "counterfactual")
# Stands where the reference would: the counterfactual call of Eq. 3 hides it, for it would give the answer away.
HIDDEN_REFERENCE = "(not given)"
_VISION_MARKERS = ("<image>", "<video>")


@cache
def read_template(path: Path, placeholders: tuple[str, ...]) -> str:
    """Read any template and check it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8, or a placeholder is missing or occurs twice; names the file and it.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: the template must be UTF-8 text: {error}") from error
    for name in placeholders:
        if text.count(f"{{{name}}}") != 1:
            raise ValueError(f"{path}: the template must contain {{{name}}} exactly once")
    return text


def render(template: str, values: Mapping[str, str], keep_markers: Collection[str] = ()) -> str:
    """Fill a template in one pass, so that braces in a value (\\boxed{3}) are never read as a placeholder.

    Args:
        template: text with a placeholder {name} for each name in `values`.
        values: the texts to put in. Markers (`<image>`, `<video>`) in them are dropped: a model may emit one, but no
            image belongs to it, and the count of markers must equal the count of images.
        keep_markers: names of values whose markers do stand for an image and stay.
    """
    texts = {name: text if name in keep_markers else _without_markers(text) for name, text in values.items()}
    pattern = "|".join(rf"\{{{re.escape(name)}\}}" for name in texts)
    return re.sub(pattern, lambda match: texts[match.group(0)[1:-1]], template)


def load_template(path: Path = TEMPLATE_FILE) -> str:
    """Read a repair template.

    Raises:
        ValueError: if a placeholder {question}, {response} or {reference} is missing or occurs twice.
    """
    return read_template(path, PLACEHOLDERS)


def render_repair(question: str, response: str, reference: str, template: str | None = None) -> str:
    """Text of the user message that asks for a repair ŷ ~ p_φ(·| x, y, a) (Eq. 5).

    Args:
        question: the original user text. Its `<image>` or `<video>` markers stay where they are.
        response: the erroneous trajectory y, decoded without special tokens. Its markers are dropped.
        reference: a, a correct sibling's text or the annotated answer. Its markers are dropped.
        template: another template text; by default the file `repair.txt`.
    """
    values = {"question": question, "response": response, "reference": reference}
    return render(template or load_template(), values, keep_markers=("question",))


def _without_markers(text: str) -> str:
    """In one pass over the characters, for taking one out may leave another behind: <im<image>age>."""
    kept: list[str] = []
    for character in text:
        kept.append(character)
        for marker in _VISION_MARKERS if character == ">" else ():
            if kept[-len(marker) :] == list(marker):
                del kept[-len(marker) :]
    return "".join(kept)
