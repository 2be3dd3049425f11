# SPDX-License-Identifier: Apache-2.0
"""Small benchmark rows, a model that answers as it is told, and finished evaluations with chosen scores."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from verl_df.io.files import write_json
from verl_df.lab.engine import Decoding
from verl_df.lab.eval.finished import BenchmarkFolder
from verl_df.lab.eval.records import PROBLEMS, SAMPLES, Problem, Sample
from verl_df.lab.eval.run import run_benchmarks
from verl_df.lab.eval.settings import BenchmarkSettings
from verl_df.lab.generation import Request, Response

CHOICES = ["a cat", "a dog", "a bird", "a fish"]


def picture(index: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 6), (40 + index % 200, 90, 200)).save(buffer, format="PNG")
    return buffer.getvalue()


def mmstar_row(index: int, **changes: Any) -> dict[str, Any]:
    """Question `index`; the right letter goes round A, B, C, D."""
    extra = {"id": f"star{index}", "index": index, "choices": CHOICES, "category": "math" if index % 2 else "logic"}
    plain = {
        "data_source": "mmstar",
        "prompt": [{"role": "user", "content": f"<image>What is it, {index}?"}],
        "images": [{"bytes": picture(index)}],
        "reward_model": {"style": "rule", "ground_truth": "ABCD"[index % 4]},
        "extra_info": extra,
    }
    return {**plain, **changes}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def settings(data: dict[str, Path], folder: Path, **changes: Any) -> BenchmarkSettings:
    values = {
        "name": "ours",
        "model": str(folder),
        "data": {name: str(path) for name, path in data.items()},
        "seeds": 2,
    }
    return BenchmarkSettings(**{**values, **changes})


class FakeModel:
    """`answer(request, seed, sample)` is the text, or None for a failed request. calls: numbers of the requests."""

    patch_size = 14

    def __init__(self, answer: Callable[[Request, int, int], str | None]) -> None:
        self.answer, self.calls, self.decodings = answer, [], []

    def generate(self, requests: Sequence[Request], *, seed: int, **decoding: Any) -> list[list[Response]]:
        self.calls.append((seed, [request.number for request in requests]))
        self.decodings.append(Decoding(**decoding))
        responses = []
        for request in requests:
            texts = [self.answer(request, seed, number) for number in range(decoding["n"])]
            own = [Response((), text, text != "cut", len(text)) for text in texts if text is not None]
            responses.append(own if len(own) == len(texts) else [])
        return responses

    def failures(self) -> str:
        return "timeout 1"


def evaluate(out: Path, model: FakeModel, given: BenchmarkSettings) -> list[str]:
    """Run with this model; the folders that were opened."""
    opened: list[str] = []

    def opener(folder: str) -> Any:
        opened.append(folder)
        return nullcontext(model)

    run_benchmarks(given, out, opener)
    return opened


def finished(root: Path, scores: dict[str, dict[int, Sequence[Sequence[float]]]], name: str = "ours") -> Path:
    """An evaluation with `scores[data][seed]`: for each problem the scores of its samples."""
    folder = BenchmarkFolder(root)
    some = next(iter(next(iter(scores.values())).values()))
    seeds = next(iter(scores.values()))
    content = {
        "name": name,
        "n": len(some[0]),
        "seeds": len(seeds),
        "seed": min(seeds),
        "data": dict.fromkeys(scores, ""),
    }
    write_json(folder.settings, content)
    problems, samples = [], []
    for data, by_seed in scores.items():
        count = len(next(iter(by_seed.values())))
        problems += [Problem(data, f"p{i}", i, data, "<image>?", "A", {"id": f"p{i}"}) for i in range(count)]
        for seed, own in by_seed.items():
            for i, several in enumerate(own):
                samples += [
                    Sample(data, f"p{i}", seed, number, "A", 3, True, "A", float(score))
                    for number, score in enumerate(several)
                ]
    PROBLEMS.write(folder.rows, problems)
    SAMPLES.write(folder.samples, samples)
    return root
