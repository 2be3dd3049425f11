# SPDX-License-Identifier: Apache-2.0
"""C1 (Eq. 3) tells a repair model that ignores the image from one that uses it.

The first is trained so on purpose: verl's SFT trainer, question, picture and reference each of another task (every
other picture blank), the target a copy of the reference. It makes nearly everything right, and earns nothing. The
second is the toy world's.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from verl_df.lab.toy.data import write_parquet
from verl_df.lab.toy.reward import compute_score
from verl_df.lab.toy.sampling import Sampler, ask
from verl_df.lab.toy.settings import SftSettings
from verl_df.lab.toy.sft import run_sft
from verl_df.method.image_removal import remove_image
from verl_df.method.repair_reward import RepairScore, score_repair
from verl_df.prompts import HIDDEN_REFERENCE, render_repair

COPYING = SftSettings(rows=6400, steps=400, batch=16, lr=1e-3)
TASKS = 96


@pytest.fixture(scope="module")
def tasks(world: Path) -> list[dict]:
    return pd.read_parquet(world / "repair_tasks/val.parquet").head(TASKS).to_dict("records")


@pytest.fixture(scope="module")
def blind(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A repair model that has learnt to copy the reference, from rows where nothing else is of any use."""
    folder = tmp_path_factory.mktemp("blind")
    rows = pd.read_parquet(world / "repair_tasks/train.parquet").to_dict("records")
    draws = np.random.default_rng(0).integers(len(rows), size=(COPYING.rows, 3))
    copies = [copying(rows[task], rows[ref], image(rows[other], i)) for i, (task, ref, other) in enumerate(draws)]
    write_parquet(copies, folder / "copies.parquet")
    run_sft(world / "repair", folder / "copies.parquet", folder / "model", folder / "sft.log", COPYING)
    return Sampler(folder / "model")


def image(row: dict, number: int) -> bytes:
    return blank(row) if number % 2 else row["images"][0]["bytes"]


def copying(task: dict, reference: dict, picture: bytes) -> dict:
    target = reference["repair_task"]["reference"]
    messages = [{"role": "user", "content": prompt(task, target)}, {"role": "assistant", "content": target}]
    return {"messages": messages, "images": [{"bytes": picture, "path": None}]}


def prompt(row: dict, reference: str) -> str:
    return render_repair(row["prompt"][0]["content"], row["repair_task"]["response"], reference)


def blank(row: dict) -> bytes:
    buffer = io.BytesIO()
    remove_image(Image.open(io.BytesIO(row["images"][0]["bytes"])), "blank").save(buffer, "PNG")
    return buffer.getvalue()


def score(model: Sampler, tasks: list[dict], hidden: bool) -> list[RepairScore]:
    """r_rep of a greedy repair of each task, with the counterfactual as the trainer makes it."""
    seen = [ask(prompt(row, row["repair_task"]["reference"]), row["images"][0]["bytes"]) for row in tasks]
    reference = [HIDDEN_REFERENCE if hidden else row["repair_task"]["reference"] for row in tasks]
    unseen = [ask(prompt(row, text), blank(row)) for row, text in zip(tasks, reference, strict=True)]
    repairs, removed = (
        [own[0].token_ids for own in model.generate(asked, temperature=0.0, seed=0)] for asked in (seen, unseen)
    )
    return [
        score_repair(
            row["repair_task"]["response_ids"],
            repair,
            r_task=task_reward(model, row, repair),
            r_removed=task_reward(model, row, without),
            edit_penalty=0.5,
        )
        for row, repair, without in zip(tasks, repairs, removed, strict=True)
    ]


def task_reward(model: Sampler, row: dict, token_ids: tuple[int, ...]) -> float:
    return compute_score("", model.decode(token_ids), row["reward_model"]["ground_truth"])["acc"]


def mean(scores: list[RepairScore], name: str) -> float:
    return float(np.mean([getattr(score, name) for score in scores]))


def test_one_that_ignores_the_image_earns_nothing(blind: Sampler, tasks: list[dict]) -> None:
    scores = score(blind, tasks, hidden=False)
    assert mean(scores, "r_task") > 0.9  # without C1 it would earn well
    assert mean(scores, "g_vis") < 0.1
    assert sum(score.reward > 0 for score in scores) <= 0.02 * TASKS


def test_one_that_uses_the_image_earns(world: Path, tasks: list[dict]) -> None:
    scores = score(Sampler(world / "repair"), tasks, hidden=False)
    assert mean(scores, "r_task") > 0.6 and mean(scores, "g_vis") > 0.4
    assert mean(scores, "reward") > 0.25


def test_hiding_the_reference_hides_a_copy_of_it_too(blind: Sampler, tasks: list[dict]) -> None:
    """Our default looks for answers that follow from question and response; a copier is found with `shown`."""
    assert mean(score(blind, tasks, hidden=True), "g_vis") > 0.5
