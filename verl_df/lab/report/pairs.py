# SPDX-License-Identifier: Apache-2.0
"""Choose a handful of error/repair pairs, and what stands around their tokens."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verl_df.io.files import inside
from verl_df.io.picture_sources import PictureError, read_limited
from verl_df.io.pictures import as_png
from verl_df.lab.report.loading import IMAGES_DIR
from verl_df.method.records import PairRecord

DEFAULT_PAIRS = 6


_REFERENCES = {"sibling": "full correct sibling", "answer": "answer", "preferred": "preferred response"}


@dataclass(frozen=True)
class Pair:
    """A pair on the page.

    Attributes:
        chips: names and values above the responses.
        images: data URIs.
        reference: what the repair model was shown.
    """

    record: PairRecord
    chips: Sequence[tuple[str, str]]
    images: Sequence[str]
    reference: str


def choose_pairs(records: Sequence[PairRecord], count: int) -> list[PairRecord]:
    """Pick up to ``count`` repaired pairs, spread over the run and not by how good they look.

    The repaired records are cut, in order of step, into ``count`` stretches of equal size; each stretch gives the
    pair of median edit distance, among the prompts not shown yet where there are any.

    Raises:
        ValueError: ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"the number of pairs to show must be at least 1, got {count}")
    repaired = sorted((record for record in records if record.repair is not None), key=lambda record: record.step)
    count = min(count, len(repaired))
    chosen: list[PairRecord] = []
    for index in range(count):
        stretch = repaired[index * len(repaired) // count : (index + 1) * len(repaired) // count]
        shown = {record.uid for record in chosen}
        chosen.append(_median_pair([record for record in stretch if record.uid not in shown] or stretch))
    return chosen


def _median_pair(stretch: Sequence[PairRecord]) -> PairRecord:
    by_distance = sorted(stretch, key=lambda record: record.edit_distance or 0)
    return by_distance[(len(by_distance) - 1) // 2]


def show_pair(record: PairRecord, run: Path) -> Pair:
    """A pair with the images of its run.

    Raises:
        FileNotFoundError: an image named by the record is not in the run's image folder.
        ValueError: an image that cannot be used, or that is named outside that folder.
    """
    images = [image_uri(inside(run / IMAGES_DIR, name)) for name in record.images]
    return Pair(record, _chips(record), images, _REFERENCES[record.reference_kind])


def image_uri(path: Path) -> str:
    """The image as a data URI; the style sheet scales it up without blurring its pixels."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found, though a pair names it: copy the run's {IMAGES_DIR} folder along")
    try:
        content = base64.b64encode(as_png(read_limited(path))).decode("ascii")
    except PictureError as error:
        raise ValueError(f"{path}: {error}") from error
    return f"data:image/png;base64,{content}"


def _chips(record: PairRecord) -> list[tuple[str, str]]:
    chips = [("step", str(record.step)), ("right answer", record.ground_truth)]
    if record.edit_distance is not None and record.edit_ratio is not None:
        chips.append(("edit distance", f"{record.edit_distance} ({record.edit_ratio:.1%} of the tokens)"))
    if record.truth_mask is not None:
        chips.append(("marked and truly wrong", _overlap(record.error.mask, record.truth_mask)))
    chips.append(("prompt", record.uid))
    return chips


def _overlap(mask: Sequence[int], truth: Sequence[int]) -> str:
    hits = sum(bool(marked) and bool(wrong) for marked, wrong in zip(mask, truth, strict=True))
    return f"{hits} of {sum(map(bool, mask))} marked, {hits} of {sum(map(bool, truth))} wrong"
