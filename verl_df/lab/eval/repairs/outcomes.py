# SPDX-License-Identifier: Apache-2.0
"""What n samples for one task came to: one outcome per task, method, decoding and seed."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verl_df.lab.eval.repairs.records import FULL, HIDDEN, SHOWN, SampleRecord, TaskRecord
from verl_df.lab.statistics import pass_at_k
from verl_df.method.alignment import edit_distance
from verl_df.method.metrics import mask_truth
from verl_df.method.repair import Candidate, rejected_unscored, select_repair

Row = tuple[str, str]  # method and decoding
Parts = tuple[float, float]  # numerator and denominator of a figure in one outcome; (0, 0) where it does not count
_NOTHING: Parts = (0, 0)

TITLES = {
    "acc_at_1": "Acc@1",
    "acc_at_2": "Acc@2",
    "edit_ratio_chosen": "edit ratio, chosen",
    "edit_ratio_right": "edit ratio, right",
    "edit_ratio_all": "edit ratio, all",
    "feasible": "feasible",
    "mask_precision": "mask precision",
    "mask_recall": "mask recall",
    "mask_f1": "mask F1",
    "survival_hidden": "right without image, reference hidden",
    "survival_shown": "right without image, reference shown",
}
"""Every figure, each a sum over outcomes divided by another, so that one interval fits all.

acc_at_1: mean over samples of "right", r_task reaching the threshold, whatever else may be wrong with them. acc_at_2:
chance that any of 2 samples is right, unbiased for n > 2. edit_ratio_*: A_edit(y, ŷ) / max(1, |y|) of the chosen repair
(Eq. 7), of right samples, of all samples. feasible: S (Eq. 6) is not empty. mask_*: tokens of the chosen repair's error
mask against the true one, pooled. survival_*: right answers that are right again without the image, the reference
hidden or shown.
"""


@dataclass(frozen=True)
class Outcome:
    """One task under one method and seed.

    Attributes:
        samples: how many.
        parts: of every figure.
        rejections: why samples are not in the feasible set S (Eq. 6).
        truth_known: whether there are a chosen repair and a true mask to compare it with.
    """

    task_id: str
    prompt_id: str
    reference_kind: str
    seed: int
    samples: int
    parts: dict[str, Parts]
    rejections: Counter[str]
    truth_known: bool


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
    alignment, n, length = selection.alignment, len(samples), max(1, len(task.response_ids))
    right = {record.sample for record in samples if record.reward >= threshold}
    ratios = {record.sample: edit_distance(task.response_ids, record.token_ids) / length for record in samples}
    tp = fp = fn = 0
    truth_known = alignment is not None and task.truth_mask is not None
    if alignment is not None and task.truth_mask is not None:
        truth = mask_truth(alignment.error_mask, np.asarray(task.truth_mask, dtype=bool))
        tp, fp, fn = truth.tp, truth.fp, truth.fn
    parts: dict[str, Parts] = {
        "acc_at_1": (len(right), n),
        "acc_at_2": (pass_at_k(n, len(right), 2), 1) if n > 1 else _NOTHING,
        "edit_ratio_chosen": (alignment.edit_ratio, 1) if alignment is not None else _NOTHING,
        "edit_ratio_right": (sum(ratio for sample, ratio in ratios.items() if sample in right), len(right)),
        "edit_ratio_all": (sum(ratios.values()), n),
        "feasible": (alignment is not None, 1),
        "mask_precision": (tp, tp + fp),
        "mask_recall": (tp, tp + fn),
        "mask_f1": (2 * tp, 2 * tp + fp + fn),
        "survival_hidden": _survived(right, group.get(HIDDEN, []), threshold),
        "survival_shown": _survived(right, group.get(SHOWN, []), threshold),
    }
    rejections = Counter(reason.value for reason in selection.rejections if reason is not None)
    return Outcome(task.task_id, task.prompt_id, task.reference_kind, seed, n, parts, rejections, truth_known)


def _candidate(record: SampleRecord) -> Candidate:
    unscored = Candidate(record.token_ids, None, record.finished, record.contains_placeholder)
    if rejected_unscored(unscored) is not None:
        return unscored
    return Candidate(record.token_ids, record.reward, record.finished, record.contains_placeholder)


def _survived(right: set[int], removed: Sequence[SampleRecord], threshold: float) -> Parts:
    """Sample i with the image, where it is right, beside sample i without it, generated afresh."""
    again = [record.reward >= threshold for record in removed if record.sample in right]
    return sum(again), len(again)
