# SPDX-License-Identifier: Apache-2.0
"""What n samples for one task came to: one outcome per task, method, decoding and seed."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verl_df.lab.repair_eval.records import FULL, HIDDEN, SHOWN, SampleRecord, TaskRecord
from verl_df.method.alignment import edit_distance
from verl_df.method.metrics import MaskTruth, mask_truth
from verl_df.method.repair import Candidate, rejected_unscored, select_repair

Row = tuple[str, str]  # method and decoding


@dataclass(frozen=True)
class Survival:
    """right: right answers with the image that were asked again without it; stayed: those right again."""

    right: int
    stayed: int


@dataclass(frozen=True)
class Outcome:
    """One task under one method and seed.

    right: of each sample, whether r_task reaches the threshold, whatever else may be wrong with it. ratios: of each
    sample, A_edit(y, y-hat) / max(1, |y|). chosen_ratio: of the chosen repair (Eq. 7), None where there is none.
    rejections: why samples are not in the feasible set S (Eq. 6). truth: the chosen repair's error mask against the
    true one, None without a repair or a true mask. survival: None where the image was not removed.
    """

    task_id: str
    prompt_id: str
    reference_kind: str
    seed: int
    right: tuple[bool, ...]
    ratios: tuple[float, ...]
    chosen_ratio: float | None
    rejections: Counter[str]
    truth: MaskTruth | None
    survival_hidden: Survival | None
    survival_shown: Survival | None


def collect_outcomes(
    tasks: Sequence[TaskRecord], samples: Sequence[SampleRecord], threshold: float
) -> dict[Row, list[Outcome]]:
    """The outcomes of an evaluation by method and decoding, both in the order of the records.

    Args:
        tasks: all tasks.
        samples: all samples of all methods.
        threshold: tau_r, a sample with r_task >= tau_r is right.

    Raises:
        ValueError: a sample of a task that is not there, or samples without the image and none with it.
    """
    known = {task.task_id: task for task in tasks}
    groups: dict[Row, dict[tuple[str, int], dict[str, list[SampleRecord]]]] = defaultdict(dict)
    for record in samples:
        if record.task_id not in known:
            raise ValueError(
                f"a sample of {record.method} belongs to task {record.task_id}, which is not among the tasks"
            )
        group = groups[record.method, record.decoding].setdefault((record.task_id, record.seed), defaultdict(list))
        group[record.condition].append(record)
    return {
        row: [_outcome(known[task_id], seed, group, threshold) for (task_id, seed), group in by_task.items()]
        for row, by_task in groups.items()
    }


def _outcome(task: TaskRecord, seed: int, group: Mapping[str, list[SampleRecord]], threshold: float) -> Outcome:
    samples = sorted(group.get(FULL, []), key=lambda record: record.sample)
    if not samples:
        raise ValueError(f"task {task.task_id}, seed {seed}: there are samples without the image and none with it")
    selection = select_repair(task.response_ids, [_candidate(record) for record in samples], threshold=threshold)
    alignment = selection.alignment
    truth = None
    if alignment is not None and task.truth_mask is not None:
        truth = mask_truth(alignment.error_mask, np.asarray(task.truth_mask, dtype=bool))
    length = max(1, len(task.response_ids))
    return Outcome(
        task_id=task.task_id,
        prompt_id=task.prompt_id,
        reference_kind=task.reference_kind,
        seed=seed,
        right=tuple(record.reward >= threshold for record in samples),
        ratios=tuple(edit_distance(task.response_ids, record.token_ids) / length for record in samples),
        chosen_ratio=None if alignment is None else alignment.edit_ratio,
        rejections=Counter(reason.value for reason in selection.rejections if reason is not None),
        truth=truth,
        survival_hidden=_survival(samples, group.get(HIDDEN), threshold),
        survival_shown=_survival(samples, group.get(SHOWN), threshold),
    )


def _candidate(record: SampleRecord) -> Candidate:
    unscored = Candidate(record.token_ids, None, record.finished, record.contains_placeholder)
    if rejected_unscored(unscored) is not None:
        return unscored
    return Candidate(record.token_ids, record.reward, record.finished, record.contains_placeholder)


def _survival(
    samples: Sequence[SampleRecord], removed: Sequence[SampleRecord] | None, threshold: float
) -> Survival | None:
    """Sample i with the image beside sample i without it, generated afresh."""
    if not removed:
        return None
    again = {record.sample: record.reward >= threshold for record in removed}
    right = [record.sample for record in samples if record.reward >= threshold and record.sample in again]
    return Survival(len(right), sum(again[sample] for sample in right))
