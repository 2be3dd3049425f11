# SPDX-License-Identifier: Apache-2.0
"""Your own data: one JSON object a line with image or images, question, answer, and optionally choices and id.

    {"id": "17", "images": ["a.png", "b.png"], "question": "Which is larger?", "choices": ["a", "b"], "answer": "B"}

Images are files beside the JSONL file, data URLs, or plain base64. A question with `<image>` markers has one for each
image; without any, the images come first. Choices are listed below the question by us; the answer is then the letter
or the text of one of them.

A preference data set has a preferred response besides, under a key that is to be named (`chosen` in many).
"""

from collections.abc import Sequence
from functools import partial

from verl_df.lab.data.fields import Row, many, text, texts
from verl_df.lab.data.images import Files, encoded_or_base64
from verl_df.lab.data.prompts import choice_lines, letter
from verl_df.lab.data.rows import Dropped, Sample
from verl_df.lab.data.source import TEXT, Source
from verl_df.method.checks import PREFERRED, preferred_response
from verl_df.rows.faults import Reason

_KEYS = ("id", "image", "images", "question", "answer", "choices")


def own_source(name: str, carry: Sequence[str] = (), preferred: str | None = None) -> Source:
    """The source of one user's file.

    Args:
        name: its data_source.
        carry: further keys, taken over into extra_info as text.
        preferred: key of the preferred response, which becomes `extra_info.preferred_response`; None: there is none.

    Raises:
        ValueError: a key that has a place already.
    """
    taken = sorted({*_KEYS, "split", "index", preferred, PREFERRED if preferred else None} & set(carry))
    if taken:
        raise ValueError(f"--carry {taken[0]}: extra_info has this key already")
    if preferred in _KEYS:
        raise ValueError(f"--preferred {preferred}: this key has its own meaning")
    return Source(
        name,
        partial(sample, carry=tuple(carry), preferred=preferred),
        ability="vqa",
        needs=("question", "answer", *([preferred] if preferred else [])),
        extra=dict.fromkeys([*carry, *([PREFERRED] if preferred else [])], TEXT),
    )


def sample(row: Row, files: Files, carry: Sequence[str], preferred: str | None) -> Sample:
    """One question.

    Raises:
        Dropped: its content cannot be used.
        ValueError: a key that is neither known nor carried, or both of image and images.
    """
    unknown = sorted(set(row) - {*_KEYS, *carry, preferred})
    if unknown:
        raise ValueError(
            f"unknown key {unknown[0]!r} (known: {', '.join(_KEYS)}); --carry {unknown[0]} takes it into extra_info"
        )
    if "image" in row and "images" in row:
        raise ValueError("both 'image' and 'images': give one of them")
    question, choices, answer = text(row, "question"), texts(row, "choices"), text(row, "answer")
    return Sample(
        images=tuple(encoded_or_base64(image, files) for image in _images(row)),
        question=question,
        body=f"{question}\nChoices:\n{choice_lines(choices)}" if choices else question,
        answer=answer,
        ground_truth=_truth(answer.strip(), choices),
        choices=choices,
        extra={key: text(row, key) for key in carry} | (_preferred(row, preferred) if preferred else {}),
    )


def _preferred(row: Row, key: str) -> dict[str, str]:
    try:
        return {PREFERRED: preferred_response({PREFERRED: text(row, key)})}
    except ValueError as error:
        raise Dropped(Reason.NO_PREFERRED, str(error)) from error


def _images(row: Row) -> list[object]:
    return many(row, "images") if "images" in row else [row.get("image")]


def _truth(answer: str, choices: tuple[str, ...]) -> str:
    """The letter of the choice that an answer names, by its letter or its text."""
    if not choices or not answer:
        return answer
    letters = [letter(number) for number in range(len(choices))]
    named = {own for own, choice in zip(letters, choices, strict=True) if choice.strip() == answer}
    if answer in letters:
        named.add(answer)
    if len(named) != 1:
        problem = "names more than one choice" if named else "is neither letter nor text of a choice"
        raise Dropped(Reason.NOT_A_CHOICE, f"{answer!r} {problem}")
    return named.pop()
