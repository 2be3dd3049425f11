# SPDX-License-Identifier: Apache-2.0
"""How good the base policy and the repair model are, as a small table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from verl_df.lab.toy.data import SPLITS, examples
from verl_df.lab.toy.repair_data import (
    Attempt,
    RepairTask,
    hidden_picture,
    repairable,
    sample_groups,
    sibling_reference,
)
from verl_df.lab.toy.sampling import Sampler, ask
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.text import boxed
from verl_df.lab.toy.truth import error_mask
from verl_df.lab.toy.verdict import judge
from verl_df.method.alignment import align

GROUPS, GROUP_SIZE = 64, 8  # groups of the size that reinforcement learning samples

Figures = dict[str, float]


def evaluate_policy(sampler: Sampler, settings: ToySettings) -> dict[str, Figures]:
    """Figures of the policy on the held-out RL rows, shares in 0..1.

    Returns:
        "greedy" (every held-out row once) and "sampled" (temperature 1, GROUPS groups of GROUP_SIZE): "accuracy",
        "well_formed", and "first_error/<kind>", the share among wrong well-formed responses; for "sampled" also
        "mixed_groups", the share of groups with both right and wrong responses.
    """
    chosen = list(examples("rl_val", settings.rl_val_rows, settings))
    greedy = sample_groups(sampler, chosen, 1, temperature=0.0, seed=0, label="policy, greedy")
    sampled = sample_groups(sampler, chosen[:GROUPS], GROUP_SIZE, temperature=1.0, seed=0, label="policy, sampled")
    solved = [np.mean([attempt.verdict.right for attempt in group]) for group in sampled]
    mixed = float(np.mean([0 < share < 1 for share in solved]))
    return {"greedy": _policy_figures(greedy), "sampled": {**_policy_figures(sampled), "mixed_groups": mixed}}


def _policy_figures(groups: Sequence[Sequence[Attempt]]) -> Figures:
    kinds = groups[0][0].example.question.kinds
    verdicts = [attempt.verdict for group in groups for attempt in group]
    wrong = Counter(verdict.first_error for verdict in verdicts if not verdict.right and verdict.well_formed)
    figures = {
        "accuracy": float(np.mean([verdict.right for verdict in verdicts])),
        "well_formed": float(np.mean([verdict.well_formed for verdict in verdicts])),
    }
    return figures | {f"first_error/{kind}": wrong[kind] / max(1, wrong.total()) for kind in kinds}


def evaluate_repair(policy: Sampler, repair: Sampler, settings: ToySettings) -> dict[str, Figures]:
    """Figures of repairs of real wrong responses on held-out prompts, by method.

    Methods: the repair model with a correct sibling or with the bare answer as reference, and with the picture greyed
    out, which shows what it takes from the sibling; and two baselines that never look at the wrong response: the policy
    answering again (greedily, and sampled), and a copy of the sibling.
    """
    chosen = list(examples("repair_val", settings.repair_set.held_out_prompts, settings))
    groups = sample_groups(
        policy, chosen, settings.repair_set.per_prompt, temperature=1.0, seed=1, label="held-out wrong responses"
    )
    rng = np.random.default_rng([settings.seed, SPLITS["repair_val"], 1])
    pairs = [(attempt, sibling_reference(group, rng)) for group in groups for attempt in repairable(group)]
    siblings = [RepairTask(attempt, sibling, "sibling") for attempt, sibling in pairs]
    answers = [RepairTask(attempt, boxed(attempt.example.answer()), "answer") for attempt, _ in pairs]
    hidden = [replace(task, attempt=_without_picture(task.attempt)) for task in siblings]
    repairs = {
        "repair model, sibling": _run(repair, siblings, 0.0),
        "repair model, answer": _run(repair, answers, 0.0),
        "repair model, sibling, T=1": _run(repair, siblings, 1.0),
        "repair model, sibling, picture hidden": _run(repair, hidden, 0.0),
        "answer again, greedy": _again(policy, siblings, 0.0),
        "answer again, T=1": _again(policy, siblings, 1.0),
        "copy the sibling": [_encode(policy, task.reference) for task in siblings],
    }
    return {name: repair_figures(policy, siblings, own) for name, own in repairs.items()}


def _run(repair: Sampler, tasks: Sequence[RepairTask], temperature: float) -> list[tuple[int, ...]]:
    requests = [ask(task.prompt_text(), task.attempt.example.png) for task in tasks]
    return [own[0].token_ids for own in repair.generate(requests, temperature=temperature, seed=2, label="repairs")]


def _without_picture(attempt: Attempt) -> Attempt:
    return replace(attempt, example=replace(attempt.example, png=hidden_picture()))


def _again(policy: Sampler, tasks: Sequence[RepairTask], temperature: float) -> list[tuple[int, ...]]:
    groups = sample_groups(
        policy, [task.attempt.example for task in tasks], 1, temperature=temperature, seed=3, label="answering again"
    )
    return [group[0].token_ids for group in groups]


def _encode(sampler: Sampler, text: str) -> tuple[int, ...]:
    return (*sampler.tokenizer.encode(text, add_special_tokens=False), sampler.tokenizer.eos_token_id)


def repair_figures(policy: Sampler, tasks: Sequence[RepairTask], repairs: Sequence[Sequence[int]]) -> Figures:
    """Figures of one method's repairs, token ids, one for each task.

    Returns:
        "tasks"; "right" and "exact": shares whose answer is right, and that equal y*; among the right ones (only they
        are ever used, Eq. 6): "edit_ratio" A_edit(y, ŷ)/|y|, "exact_edit_ratio" that of y*, and "mask_precision" and
        "mask_recall" of m against the truly wrong tokens.
    """
    right = []
    for task, ids in zip(tasks, repairs, strict=True):
        attempt, text = task.attempt, policy.decode(ids)
        if not judge(attempt.example, text).right:
            continue
        exact = attempt.verdict.exact
        truth = error_mask(attempt.token_ids, attempt.example.extra_info(), policy.tokenizer)
        assert exact is not None and truth is not None  # the task's response is well-formed
        alignment = align(attempt.token_ids, ids)
        right.append(
            {
                "exact": text == exact,
                "edit_ratio": alignment.edit_ratio,
                "exact_edit_ratio": align(attempt.token_ids, _encode(policy, exact)).edit_ratio,
                "overlap": int((alignment.error_mask & truth).sum()),
                "marked": int(alignment.error_mask.sum()),
                "wrong": int(truth.sum()),
            }
        )
    count = max(1, len(tasks))
    if not right:
        return {"tasks": len(tasks), "right": 0.0, "exact": 0.0}
    found = pd.DataFrame(right)
    means, sums = found.mean(), found.sum()
    return {
        "tasks": len(tasks),
        "right": len(right) / count,
        "exact": sums["exact"] / count,
        "edit_ratio": means["edit_ratio"],
        "exact_edit_ratio": means["exact_edit_ratio"],
        "mask_precision": sums["overlap"] / max(1, sums["marked"]),
        "mask_recall": sums["overlap"] / max(1, sums["wrong"]),
    }


def format_table(rows: dict[str, Figures]) -> str:
    """Plain-text table of figures: a line for each row, a column for each figure."""
    columns = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    cells = [[_cell(figures.get(column)) for column in columns] for figures in rows.values()]
    return pd.DataFrame(cells, index=list(rows), columns=columns).to_string()


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def write_evaluation(path: Path, policy_folder: Path, repair_folder: Path, settings: ToySettings) -> str:
    """Evaluate both models, write the figures to `path` as JSON and return the tables as text."""
    policy, repair = (Sampler(folder, settings.response_tokens) for folder in (policy_folder, repair_folder))
    figures = {"policy": evaluate_policy(policy, settings), "repair": evaluate_repair(policy, repair, settings)}
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return "\n\n".join(format_table(rows) for rows in figures.values())
