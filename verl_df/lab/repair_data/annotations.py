# SPDX-License-Identifier: Apache-2.0
"""What an annotator gives back, as JSON lines: {"id", "target", "skip", "note"}."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from verl_df.io.files import whole_file
from verl_df.io.lines import Lines
from verl_df.io.validation import checked
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import RepairSample, read_samples

# Further keys of `export --format jsonl`: for the annotator to read, passed over by the import.
CONTEXT_KEYS = ("question", "images", "ground_truth", "response", "reference", "reference_kind")


@checked
class Annotation:
    """One answer of an annotator.

    Attributes:
        id: of the sample.
        target: y*; None: not written (yet).
        skip: the annotator found none.
        note: why.
    """

    id: str
    target: str | None
    skip: bool = False
    note: str = ""


ANNOTATIONS = Lines(Annotation, version=None, what="an annotation", optional=("skip", "note"), ignored=CONTEXT_KEYS)


def export_jsonl(folder: SetFolder, out: Path, chosen: set[str] | None = None) -> int:
    """Write a line to fill in for each sample (of the chosen ids): `target` is null and becomes y*. Returns their
    number."""
    count = 0
    with whole_file(out) as file:
        for sample in read_samples(folder.samples):
            if chosen is None or sample.id in chosen:
                row = {"id": sample.id, **context(sample), "target": None, "skip": False, "note": ""}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    return count


def context(sample: RepairSample) -> dict[str, Any]:
    """What an annotator is shown of a sample."""
    return {key: getattr(sample, key) for key in CONTEXT_KEYS}


def write_targets(
    folder: SetFolder, out: Path, function: Callable[[str, dict[str, Any]], str | None]
) -> dict[str, int]:
    """Annotate every sample with a function that computes y*.

    Args:
        folder: the set.
        out: annotations to write.
        function: (response text, extra_info) -> y*, or None where it has none: the sample is skipped.

    Returns: how many were "written" and how many "skipped".

    Raises: ValueError if the function returns anything else or raises one; names the sample.
    """
    counts = {"written": 0, "skipped": 0}
    with whole_file(out) as file:
        for annotation in _computed(folder, function):
            counts["skipped" if annotation.skip else "written"] += 1
            file.write(ANNOTATIONS.dump(annotation) + "\n")
    return counts


def _computed(folder: SetFolder, function: Callable[[str, dict[str, Any]], str | None]) -> Iterator[Annotation]:
    for sample in read_samples(folder.samples):
        try:
            target = function(sample.response, sample.extra_info)
        except ValueError as error:
            raise ValueError(f"sample {sample.id} (row {sample.prompt_index}): {error}") from error
        if target is not None and not isinstance(target, str):
            raise ValueError(f"sample {sample.id}: the function returned {target!r}, not a text or None")
        yield Annotation(sample.id, target, target is None, "no exact target" if target is None else "")
