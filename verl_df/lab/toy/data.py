# SPDX-License-Identifier: Apache-2.0
"""Rows of the toy world in verl's formats: RL (prompt, images, reward_model) and SFT (messages, images)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from verl_df.lab.toy.questions import Asked, sample
from verl_df.lab.toy.settings import AnnotatorSettings, ToySettings
from verl_df.lab.toy.world import EMPTY, Grid, grid_to_lists, render, sample_grid, to_png
from verl_df.method.checks import PREFERRED

DATA_SOURCE = "verl_df/toy"
# Every split draws from its own random stream, so no two splits share a picture except by an astronomical accident.
SPLITS = {"rl_train": 1, "rl_val": 2, "policy_sft": 3, "repair_sft": 4, "repair_val": 5, "repair_rl": 6}
# What a faint figure is taken for. One direction only: a faint green figure is never called blue.
LOOK_ALIKES = {"blue": "green", "yellow": "red", "triangle": "circle", "square": "triangle"}


@dataclass(frozen=True)
class Example:
    """One picture with one question. `index` counts within the split."""

    split: str
    index: int
    grid: Grid
    question: Asked
    png: bytes

    def prompt(self) -> list[dict[str, str]]:
        """Chat prompt in verl's form: the `<image>` marker, then the question."""
        return [{"role": "user", "content": f"<image>{self.question.text}"}]

    def images(self) -> list[dict[str, object]]:
        """Images in verl's form."""
        return [{"bytes": self.png, "path": None}]

    def answer(self) -> str:
        """The right answer, one digit."""
        return str(self.question.answer(self.grid))

    def extra_info(self) -> dict[str, object]:
        """What the truth of any response can be computed from, plain types only."""
        return {
            "split": self.split,
            "index": self.index,
            "question_type": self.question.type,
            "targets": list(self.question.targets),
            "question": self.question.text,
            "grid": grid_to_lists(self.grid),
        }


def examples(split: str, count: int, settings: ToySettings) -> Iterator[Example]:
    """The first `count` examples of a split. Each depends on (seed, split, index) alone.

    Raises:
        KeyError: if `split` is not a key of SPLITS.
    """
    stream = SPLITS[split]
    for index in range(count):
        rng = np.random.default_rng([settings.seed, stream, index])
        grid, question = sample_grid(rng, settings.picture), sample(settings.kind, rng)
        yield Example(split, index, grid, question, to_png(render(rng, grid, settings.picture)))


def preferred(example: Example) -> str:
    """A right response, as from preference data: in one order in every other example, in the other in the others."""
    orders = example.question.orders
    return right_text(example, orders[example.index % len(orders)])


def right_text(example: Example, order: str) -> str:
    """The right response in one of the question's orders."""
    return example.question.write(example.question.words(example.grid), order)


def rl_row(example: Example) -> dict[str, object]:
    """Row of verl's multimodal RL format, with a preferred response."""
    return {
        "data_source": DATA_SOURCE,
        "prompt": example.prompt(),
        "images": example.images(),
        "ability": "visual counting",
        "reward_model": {"style": "rule", "ground_truth": example.answer()},
        "extra_info": example.extra_info() | {PREFERRED: preferred(example)},
    }


def annotated_words(rng: np.random.Generator, example: Example, settings: AnnotatorSettings) -> list[list[str]]:
    """Cell words a careless annotator writes: a faint figure goes by its look-alike's name with probability `slip`."""
    words = example.question.words(example.grid)
    for row, cells in enumerate(example.question.cells(example.grid)):
        for column, cell in enumerate(cells):
            if cell is not None and cell.faint:
                said = [
                    LOOK_ALIKES.get(word, word) if word != EMPTY and rng.random() < settings.slip else word
                    for word in words[row][column].split()
                ]
                words[row][column] = " ".join(said)
    return words


def sft_row(images: list[dict[str, object]], user_text: str, response: str) -> dict[str, object]:
    """Row of verl's SFT format: one user turn with the images, one assistant turn."""
    messages = [{"role": "user", "content": user_text}, {"role": "assistant", "content": response}]
    return {"messages": messages, "images": images}


def policy_sft_row(example: Example, settings: ToySettings) -> dict[str, object]:
    """The example with an annotator's response, in a random row order."""
    rng = np.random.default_rng([settings.seed, SPLITS["policy_sft"], example.index, 1])
    words = annotated_words(rng, example, settings.annotator)
    order = example.question.orders[rng.integers(len(example.question.orders))]
    return sft_row(example.images(), example.prompt()[0]["content"], example.question.write(words, order))


def write_rl_data(folder: Path, settings: ToySettings) -> dict[str, int]:
    """Write `train.parquet` and `val.parquet`. Returns their row counts."""
    sizes = {"train": settings.rl_train_rows, "val": settings.rl_val_rows}
    for name, count in sizes.items():
        rows = [rl_row(example) for example in examples(f"rl_{name}", count, settings)]
        write_parquet(rows, folder / f"{name}.parquet")
    return sizes


def write_policy_sft_data(path: Path, settings: ToySettings) -> int:
    """Write the policy's SFT rows. Returns their number."""
    rows = [policy_sft_row(example, settings) for example in examples("policy_sft", settings.policy.rows, settings)]
    write_parquet(rows, path)
    return len(rows)


def write_parquet(rows: list[dict[str, object]], path: Path) -> None:
    """Write rows as parquet, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
