# SPDX-License-Identifier: Apache-2.0
"""A small RL data file, a policy that says what it is told to, and settings for the tests of repair data."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from verl_df.lab.generation import Request, Response
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.sample import prepare, sample_set
from verl_df.lab.repair_data.settings import SampleSettings
from verl_df.lab.rl_data import RLData
from verl_df.lab.task_reward import Answer
from verl_df.lab.toy.reward import compute_score

END = 9
REWARD = "pkg://verl_df.lab.toy.reward"
SETTINGS = SampleSettings(
    "policy",
    "train.parquet",
    data_rows=6,
    data_bytes=1,
    per_prompt=4,
    max_tokens=64,
    text_only_samples=2,
    reward_path=REWARD,
)


def settings(**changes: Any) -> SampleSettings:
    return replace(SETTINGS, **changes)


def picture(index: int, form: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 6), (40 + index, 90, 200)).save(buffer, format=form)
    return buffer.getvalue()


def row(index: int, **changes: Any) -> dict[str, Any]:
    """Row `index`: "how many, index?", answer: the index."""
    plain = {
        "data_source": "test/count",
        "prompt": [{"role": "user", "content": f"<image>how many, {index}?"}],
        "images": [{"bytes": picture(index), "path": None}],
        "reward_model": {"style": "rule", "ground_truth": str(index)},
        "extra_info": {"index": index, "cells": [["a", "b"], ["c"]], "odd": "yes" if index % 2 else None},
    }
    return {**plain, **changes}


def write_data(path: Path, rows: Sequence[dict[str, Any]]) -> RLData:
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=4)
    return RLData(path)


def six_rows(folder: Path, rows: int = 6) -> RLData:
    return write_data(folder / "train.parquet", [row(index) for index in range(rows)])


def right(index: int, way: str = "so") -> str:
    return f"I count {way} \\boxed{{{index}}}"


def wrong(index: int, way: str = "so") -> str:
    return f"I count {way} \\boxed{{{index + 1}}}"


def encode(text: str) -> list[int]:
    return [100 + ord(character) for character in text]


class BoxReward:
    """The toy's reward without verl, whose import takes many seconds; in the place of a TaskReward."""

    def score(self, answers: Sequence[Answer]) -> list[float]:
        return [compute_score(one.data_source, one.text, one.ground_truth)["acc"] for one in answers]


class ScriptedPolicy:
    """A Generator. `answers(index, without_image)` gives the texts for row `index`, cut or repeated to `n`.

    A text that ends with "…" is cut by the length limit. `calls`: row numbers, removed images and seed of each call.
    """

    patch_size = 14

    def __init__(
        self, answers: Callable[[int, bool], Sequence[str]], encode: Callable[[str], list[int]] = encode, end: int = END
    ) -> None:
        self._answers, self._encode, self._end = answers, encode, end
        self.calls: list[tuple[list[int], bool, int]] = []

    def generate(self, requests: Sequence[Request], *, n: int, seed: int, **options: Any) -> list[list[Response]]:
        rows = [int(request.messages[-1]["content"].split(", ")[1].rstrip("?")) for request in requests]
        blank = [not any(high for _, high in request.images[0].getextrema()) for request in requests]
        assert len(set(blank)) == 1
        self.calls.append((rows, blank[0], seed))
        return [self._responses(index, blank[0], n) for index in rows]

    def _responses(self, index: int, blank: bool, n: int) -> list[Response]:
        texts = list(self._answers(index, blank))
        texts = (texts * n)[:n]
        return [self._response(text) for text in texts]

    def _response(self, text: str) -> Response:
        finished = not text.endswith("…")
        ids = tuple(self._encode(text)) + ((self._end,) if finished else ())
        return Response(ids, text, finished)


def usual(index: int, without_image: bool) -> list[str]:
    """Half right, half wrong; without the image always wrong."""
    return [wrong(index)] if without_image else [right(index), wrong(index), wrong(index, "thus"), right(index, "well")]


def sample_into(
    folder: SetFolder,
    data: RLData,
    policy: Any = None,
    reward: Any = None,
    run: dict[str, Any] | None = None,
    **kinds: Any,
) -> dict[str, Any]:
    """Keep the settings and sample. policy: by default the usual one; run: options of this run, not of the set."""
    prepare(folder, data, settings(**kinds))
    return sample_set(
        folder, data, settings(**kinds), policy or ScriptedPolicy(usual), reward or BoxReward(), **(run or {})
    )


def make_set(
    root: Path, answers: Callable[[int, bool], Sequence[str]] = usual, rows: int = 6, **kinds: Any
) -> SetFolder:
    """Sample `rows` prompts into `root/set`."""
    options = {name: kinds.pop(name) for name in ("encode", "end") if name in kinds}
    folder = SetFolder(root / "set")
    sample_into(folder, six_rows(root, rows), ScriptedPolicy(answers, **options), **kinds)
    return folder
