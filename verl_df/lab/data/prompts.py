# SPDX-License-Identifier: Apache-2.0
"""How a question is put to the model: as its benchmark publishes it, or reasoned with a boxed answer."""

from collections.abc import Sequence

from verl_df.lab.data.rows import Sample
from verl_df.rows.columns import MARKER

FORMS = ("published", "boxed")
BOXED = "Reason step by step, then put the final answer in \\boxed{}."
LETTER = "Answer with the option's letter from the given choices directly."  # published by MMMU and by lmms-eval
BOXED_CHOICE = "Reason step by step, then put the letter of the right choice in \\boxed{}."


def compose(sample: Sample, form: str, instruction: str) -> str:
    """The text of the user's message, with one `<image>` marker an image.

    Args:
        sample: the question.
        form: "published": the benchmark's own prompt, word for word; "boxed": the question with its choices, then an
            instruction on a line of its own.
        instruction: of "boxed"; "": ours, which asks for the letter where the choices are known.
    """
    if form == "published":
        text = sample.published
    else:
        text = f"{sample.body.rstrip()}\n{instruction or (BOXED_CHOICE if sample.choices else BOXED)}"
    return text if MARKER in text else MARKER * len(sample.images) + text


def letter(number: int) -> str:
    """A for 0, B for 1."""
    return chr(ord("A") + number)


def choice_lines(choices: Sequence[str], form: str = "({}) {}") -> str:
    """One line a choice, "(A) text" or of another form."""
    return "\n".join(form.format(letter(number), text) for number, text in enumerate(choices))
