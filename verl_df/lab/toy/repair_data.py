# SPDX-License-Identifier: Apache-2.0
"""The repair set D_rep = {(x, y, a, y*)} (Eq. 1): real wrong responses of the policy, and their exact repairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from verl_df.lab.toy.data import SPLITS, Example, examples, right_text, rl_row, sft_row, write_parquet
from verl_df.lab.toy.sampling import Sampler, ask
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.text import boxed
from verl_df.lab.toy.verdict import Verdict, judge
from verl_df.lab.toy.world import CELL, GRID, to_png
from verl_df.prompts import render_repair


@dataclass(frozen=True)
class Attempt:
    """One sampled response to an example, with its verdict. `token_ids` are the generated ones."""

    example: Example
    token_ids: tuple[int, ...]
    response: str
    verdict: Verdict


@dataclass(frozen=True)
class RepairTask:
    """An erroneous attempt and the reference a; `kind` is "sibling" (a correct trajectory) or "answer"."""

    attempt: Attempt
    reference: str
    kind: str

    def prompt_text(self) -> str:
        """User text of the repair model's prompt, `<image>` marker included."""
        return render_repair(self.attempt.example.prompt()[0]["content"], self.attempt.response, self.reference)


def sample_groups(
    sampler: Sampler, chosen: Sequence[Example], per_prompt: int, *, temperature: float, seed: int, label: str = ""
) -> list[list[Attempt]]:
    """Sample `per_prompt` responses to each example and judge them; one list an example, as in a GRPO group."""
    requests = [ask(example.prompt()[0]["content"], example.png) for example in chosen]
    responses = sampler.generate(requests, n=per_prompt, temperature=temperature, seed=seed, label=label)
    return [
        [Attempt(example, one.token_ids, one.text, judge(example, one.text)) for one in own]
        for example, own in zip(chosen, responses, strict=True)
    ]


def repairable(group: Sequence[Attempt]) -> list[Attempt]:
    """Erroneous attempts that have an exact repair: wrong in their answer, and well-formed."""
    return [attempt for attempt in group if not attempt.verdict.right and attempt.verdict.well_formed]


def sibling_reference(group: Sequence[Attempt], rng: np.random.Generator) -> str:
    """A correct sibling's response (Eq. 13: drawn uniformly), or a written right response where the group has none."""
    correct = [attempt.response for attempt in group if attempt.verdict.right]
    if correct:
        return correct[rng.integers(len(correct))]
    example = group[0].example
    return right_text(example, example.question.orders[rng.integers(len(example.question.orders))])


def repair_tasks(
    groups: Sequence[Sequence[Attempt]], rng: np.random.Generator, answer_share: float
) -> list[RepairTask]:
    """One task for each repairable attempt; a share of them sees the bare answer instead of a sibling."""
    tasks = []
    for group in groups:
        for attempt in repairable(group):
            if rng.random() < answer_share:
                tasks.append(RepairTask(attempt, boxed(attempt.example.answer()), "answer"))
            else:
                tasks.append(RepairTask(attempt, sibling_reference(group, rng), "sibling"))
    return tasks


def write_repair_data(path: Path, sampler: Sampler, settings: ToySettings) -> int:
    """Sample the policy on the repair split and write the SFT rows of D_rep. Returns their number.

    Raises:
        ValueError: if the policy makes too few well-formed errors for `settings.repair.rows` rows.
    """
    sampling = settings.repair_set
    chosen = list(examples("repair_sft", sampling.prompts, settings))
    groups = sample_groups(
        sampler, chosen, sampling.per_prompt, temperature=1.0, seed=settings.seed, label="sampling the policy"
    )
    rng = np.random.default_rng([settings.seed, SPLITS["repair_sft"], 1])
    tasks = repair_tasks(groups, rng, sampling.answer_share)
    if len(tasks) < settings.repair.rows:
        raise ValueError(
            f"the policy made {len(tasks)} repairable errors on {sampling.prompts} prompts and "
            f"{settings.repair.rows} are needed: raise repair_set.prompts or lower repair.rows (settings.py)"
        )
    kept = rng.permutation(len(tasks))[: settings.repair.rows]
    rows = [repair_sft_row(tasks[i], hidden=bool(rng.random() < sampling.hidden_share)) for i in kept]
    write_parquet(rows, path)
    return len(rows)


def write_repair_tasks(folder: Path, sampler: Sampler, settings: ToySettings) -> dict[str, int]:
    """Write `train.parquet` and `val.parquet`: wrong responses of mixed groups, each with a correct sibling (Eq. 13).

    These are the tasks that a repair model meets while the policy trains. Returns the row counts.
    """
    sampling, sizes = settings.repair_tasks, {}
    for name, split, count in (
        ("train", "repair_rl", sampling.prompts),
        ("val", "repair_val", sampling.held_out_prompts),
    ):
        chosen = list(examples(split, count, settings))
        label = f"sampling the policy, {name}"
        groups = sample_groups(sampler, chosen, sampling.per_prompt, temperature=1.0, seed=SPLITS[split], label=label)
        rng = np.random.default_rng([settings.seed, SPLITS[split], 2])
        mixed = [group for group in groups if any(attempt.verdict.right for attempt in group)]
        rows = [
            repair_task_row(RepairTask(attempt, sibling_reference(group, rng), "sibling"))
            for group in mixed
            for attempt in group
            if not attempt.verdict.right
        ]
        write_parquet(rows, folder / f"{name}.parquet")
        sizes[name] = len(rows)
    return sizes


def repair_task_row(task: RepairTask) -> dict[str, object]:
    """The policy's RL row with the column `repair_task` that stage 2 and the repair evaluation read."""
    attempt = task.attempt
    return rl_row(attempt.example) | {
        "repair_task": {
            "response": attempt.response,
            "response_ids": list(attempt.token_ids),
            "reference": task.reference,
            "reference_kind": task.kind,
        }
    }


def repair_sft_row(task: RepairTask, hidden: bool) -> dict[str, object]:
    """SFT row (x, y, a) → y*; with `hidden` the picture is greyed out where the reference tells all."""
    exact = task.attempt.verdict.exact
    assert exact is not None  # `repairable` let it through
    example = task.attempt.example
    if hidden and reference_tells_all(task):
        example = replace(example, png=hidden_picture())
    return sft_row(example.images(), task.prompt_text(), exact)


def reference_tells_all(task: RepairTask) -> bool:
    """Whether every statement of the reference is true, so that y* follows from it without the picture.

    A correct sibling need not be: its answer may be right in spite of a cell that it names wrongly.
    """
    verdict = judge(task.attempt.example, task.reference)
    return verdict.well_formed and verdict.first_error is None


def hidden_picture() -> bytes:
    """PNG bytes of an even grey picture of the usual size."""
    return to_png(np.full((GRID * CELL, GRID * CELL, 3), 128, dtype=np.uint8))
