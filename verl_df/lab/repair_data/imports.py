# SPDX-License-Identifier: Apache-2.0
"""`import`: annotations checked one by one and joined with their samples."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from verl_df.io.files import whole_file
from verl_df.io.streams import batches
from verl_df.lab.repair_data.annotations import ANNOTATIONS, Annotation
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import SAMPLES, RepairSample, read_samples
from verl_df.lab.repair_data.targets import TargetChecker, line_ends_as_in
from verl_df.lab.task_reward import Answer, TaskReward
from verl_df.method.repair_reward import RIGHT

_JUDGED_AT_ONCE = 256


@dataclass(frozen=True, order=True)
class Place:
    """A line of an annotation file. file: its number among the given ones, from 0; line: from 1."""

    file: int
    line: int


@dataclass
class ImportReport:
    """What an import found.

    good, skipped (by the annotator), open (no target yet): lines. ratios: edit ratios of the good targets, in tokens.
    broken: the reason by place.
    """

    files: Sequence[Path]
    good: int = 0
    skipped: int = 0
    open: int = 0
    ratios: list[float] = field(default_factory=list)
    broken: dict[Place, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The counts, and median, 90% quantile and maximum of the edit ratio, as text for a terminal."""
        lines = [f"{self.good} good, {self.skipped} skipped, {self.open} not annotated, {len(self.broken)} broken"]
        if self.ratios:
            median, high = np.quantile(self.ratios, [0.5, 0.9])
            lines.append(f"edit ratio: median {median:.3f}, p90 {high:.3f}, max {max(self.ratios):.3f}")
        return lines

    def broken_lines(self) -> list[str]:
        """Each broken line with its reason, in the order of the files."""
        return [f"{self.files[place.file]}, line {place.line}: {self.broken[place]}" for place in sorted(self.broken)]


class BrokenAnnotations(ValueError):
    """Some lines are broken and were not to be skipped. report: of the import; nothing was written."""

    def __init__(self, report: ImportReport) -> None:
        count = len(report.broken)
        lines = "1 line is broken" if count == 1 else f"{count} lines are broken"
        super().__init__(f"{lines}, nothing was written: correct the file, or give --skip-broken")
        self.report = report


def import_annotations(
    folder: SetFolder,
    files: Sequence[Path],
    checker: TargetChecker,
    reward: TaskReward,
    *,
    out: Path,
    skip_broken: bool = False,
) -> ImportReport:
    """Check annotations and write the repaired samples.

    Args:
        folder: the set.
        files: annotations. An id may occur once in all of them; the first line counts, the others are broken.
        checker: of the targets.
        reward: r_task; a target must be right (r_task = 1).
        out: samples with their targets, replaced where it exists.
        skip_broken: write the good ones all the same; the broken ones go to `rejected.jsonl` with their reasons.

    Raises:
        BrokenAnnotations: with every broken line.
        FileNotFoundError: no such file of annotations.
    """
    report = ImportReport(files)
    pending = _read_all(files, report)
    with whole_file(out) as file:
        accepted = _well_formed(folder, pending, checker, report)
        for part in batches(accepted, _JUDGED_AT_ONCE):
            for sample in _right(part, reward, report):
                report.ratios.append(checker.edit_ratio(sample, sample.target or ""))
                file.write(SAMPLES.dump(sample) + "\n")
        report.broken.update((place, "unknown id: no sample of this set has it") for place, _ in pending.values())
        if report.broken and not skip_broken:
            raise BrokenAnnotations(report)
    report.good = len(report.ratios)
    _write_rejected(folder.rejected, report)
    return report


def _read_all(files: Sequence[Path], report: ImportReport) -> dict[str, tuple[Place, Annotation]]:
    """Every readable annotation by id; the others go into the report."""
    found: dict[str, tuple[Place, Annotation]] = {}
    for place, line in _lines(files):
        try:
            annotation = ANNOTATIONS.load(line.decode("utf-8-sig" if place.line == 1 else "utf-8"))
        except ValueError as error:
            report.broken[place] = str(error)
            continue
        if annotation.id in found:
            first, _ = found[annotation.id]
            report.broken[place] = f"id {annotation.id} is there already, in {files[first.file]}, line {first.line}"
        else:
            found[annotation.id] = (place, annotation)
    return found


def _lines(files: Sequence[Path]) -> Iterator[tuple[Place, bytes]]:
    for number, path in enumerate(files):
        with path.open("rb") as lines:
            for line_number, line in enumerate(lines, start=1):
                if line.strip():
                    yield Place(number, line_number), line


def _well_formed(
    folder: SetFolder, pending: dict[str, tuple[Place, Annotation]], checker: TargetChecker, report: ImportReport
) -> Iterator[tuple[Place, RepairSample]]:
    """Samples with a target that has no problem so far. What is found is taken out of `pending`."""
    for sample in read_samples(folder.samples):
        if sample.id not in pending:
            continue
        place, annotation = pending.pop(sample.id)
        target = annotation.target and line_ends_as_in(sample.response, annotation.target)
        if annotation.skip:
            report.skipped += 1
        elif target is None:
            report.open += 1
        elif problem := checker.problem(sample, target):
            report.broken[place] = problem
        else:
            yield place, replace(sample, target=target)


def _right(
    part: Sequence[tuple[Place, RepairSample]], reward: TaskReward, report: ImportReport
) -> Iterator[RepairSample]:
    """The samples whose target the task's reward calls right."""
    answers = [
        Answer(sample.data_source, sample.target or "", sample.ground_truth, sample.extra_info) for _, sample in part
    ]
    for (place, sample), score in zip(part, reward.score(answers), strict=True):
        if score >= RIGHT:
            yield sample
        else:
            report.broken[place] = f"the target's answer is not right: r_task is {score:g}, not {RIGHT:g}"


def _write_rejected(path: Path, report: ImportReport) -> None:
    """The broken lines with their reasons and their text; no file where there are none."""
    if not report.broken:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as file:
        for place, line in _lines(report.files):
            if place in report.broken:
                where = {"file": str(report.files[place.file]), "line": place.line, "reason": report.broken[place]}
                text = line.decode("utf-8", errors="replace").rstrip("\r\n")
                file.write(json.dumps({**where, "text": text}, ensure_ascii=False) + "\n")
