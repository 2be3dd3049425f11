# SPDX-License-Identifier: Apache-2.0
"""What a row must fulfil before it is written."""

import re

from verl_df.judges.final_answer import compute_score
from verl_df.lab.data.images import check_image
from verl_df.lab.data.prompts import letter
from verl_df.lab.data.rows import Dropped, Reason, Sample
from verl_df.lab.rl_data import MARKER

# verl's data set takes these two out of the text as well, and would look for a video.
_OTHER_MARKERS = re.compile("<video>|<audio>")


def check_sample(sample: Sample, prompt: str, min_side: int) -> None:
    """Check question, images, markers and answer; `prompt` is the text of the message.

    Raises:
        Dropped: the first thing that is wrong.
        WorkerError: math-verify does not start.
    """
    if not sample.body.replace(MARKER, "").strip():
        raise Dropped(Reason.NO_QUESTION)
    if not sample.images:
        raise Dropped(Reason.NO_IMAGE)
    markers, other = prompt.count(MARKER), _OTHER_MARKERS.search(prompt)
    if markers != len(sample.images) or other:
        detail = f"a {other[0]} marker" if other else f"{markers} {MARKER} markers for {len(sample.images)} images"
        raise Dropped(Reason.MARKERS, detail)
    for image in sample.images:
        check_image(image, min_side)
    check_answer(sample)


def check_answer(sample: Sample) -> None:
    """Check that the right answer, boxed, scores by the rules of verl_df.judges. Raises: Dropped."""
    truth = sample.ground_truth
    if not truth:
        raise Dropped(Reason.NO_ANSWER)
    if sample.choices and truth not in map(letter, range(len(sample.choices))):
        raise Dropped(Reason.NOT_A_CHOICE, f"{truth!r} of {len(sample.choices)} choices")
    score = compute_score("", f"\\boxed{{{truth}}}", truth, {"choices": list(sample.choices)})
    if score["score"] != 1.0:
        raise Dropped(Reason.UNPARSED_ANSWER, f"{truth!r}, boxed, does not match itself")
