# SPDX-License-Identifier: Apache-2.0
"""Repairs decoded plainly and with drafts (df.repair.speculation), in turn, in one call.

    .venv/bin/python scripts/bench/repair_decoding.py [--speculation copy ngram] [--rounds 5] [--json FILE] [--plot FILE]

| workload | what is decoded |
| --- | --- |
| toy | held-out repair tasks of the kept toy world by its repair model, two samples each at temperature 1, 64 at a time as in its runs: about 38 tokens each |
| toy, few | the same, 4 at a time |
| long | responses of 512 tokens, five of them to be repaired, 4 at a time, at temperature 1, by `verl_df.lab.tiny.copying`: put together by hand, it copies its prompt but for the wrong tokens, and slips once in a response or two. What it shows is what a model that only copies can gain |

Each decoder is an engine in a process of its own that does nothing while another works; they take turns in going first.
Draft lengths are those of verl_df/settings/speculation.py. Figures are read from the engine's own counters:

| figure | what it is |
| --- | --- |
| passes | forward passes of the engine, those that read the prompts included |
| sequence_passes | passes of each sequence that brought it tokens, of all together |
| wall_s, cpu_s | seconds, and processor seconds of the engine's process |

Ratios are those of a round, with drafts over plain; what is printed is their median, smallest and largest.
"""  # noqa: E501

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from verl_df.platform.environment import cpu_environment  # noqa: E402

WORLD = ROOT / "examples/toy/world"
LENGTH, WRONG = 512, 5  # tokens of a long response, and of them to be repaired
FIGURES = ("passes", "sequence_passes", "wall_s", "cpu_s")


@dataclass(frozen=True)
class Workload:
    """name: of a row of the table above. sequences: that decode at once. requests: prompts. n: samples of each."""

    name: str
    sequences: int
    requests: int
    n: int
    response: int


WORKLOADS = (
    Workload("toy", sequences=64, requests=128, n=2, response=64),
    Workload("toy, few", sequences=4, requests=32, n=2, response=64),
    Workload("long", sequences=4, requests=8, n=1, response=LENGTH + 1),
)


# ---- an engine's process ---------------------------------------------------------------------------------------------


def serve(pipe: Connection, workload: Workload, speculation: str, folder: str) -> None:
    """Decode the workload whenever asked, and send figures; the first time is a warm-up."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine in this process, whose seconds are read
    from omegaconf import OmegaConf
    from prometheus_client import generate_latest
    from vllm import LLM, SamplingParams

    from verl_df.adapters.policy_training.engine_counters import read_counts, repair_metrics
    from verl_df.settings.speculation import speculate

    model, prompts, longest = long_prompts(workload, folder) if workload.name == "long" else toy_prompts(workload)
    rollout = OmegaConf.create(
        {
            "engine_kwargs": {},
            "max_num_seqs": workload.sequences,
            "response_length": workload.response,
            "max_model_len": longest + workload.response,
            "disable_log_stats": False,
        }
    )
    speculate(rollout, speculation)
    engine = LLM(
        model=str(model),
        max_model_len=rollout.max_model_len,
        max_num_seqs=workload.sequences,
        max_num_batched_tokens=2048,
        dtype="float32",
        enforce_eager=True,
        kv_cache_memory_bytes=2**26,
        disable_log_stats=False,
        skip_tokenizer_init=workload.name == "long",
        **OmegaConf.to_container(rollout.engine_kwargs).get("vllm", {}),
    )
    sampling = SamplingParams(n=workload.n, temperature=1.0, max_tokens=workload.response, detokenize=False)
    while pipe.recv():
        engine.reset_prefix_cache()
        before = counters(read_counts, generate_latest)
        wall, cpu = time.perf_counter(), time.process_time()
        outputs = engine.generate(prompts, sampling, use_tqdm=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        found = repair_metrics(before, counters(read_counts, generate_latest))
        tokens = sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
        pipe.send(
            {
                "passes": found["df/repair/forward_passes"],
                "sequence_passes": tokens / found["df/repair/tokens_per_pass"],
                "wall_s": wall,
                "cpu_s": cpu,
                "tokens": tokens,
                "draft_tokens": found["df/repair/draft_tokens"],
                "accepted_tokens": found["df/repair/accepted_tokens"],
            }
        )
    engine.llm_engine.engine_core.shutdown()


def counters(read_counts: Any, generate_latest: Any) -> dict[str, float]:
    """Of the engine in this process; a plain one has none of drafts."""
    page = generate_latest().decode()
    for name in ("vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total"):
        page += "" if name in page else f"\n{name} 0\n"
    return read_counts(page)


def toy_prompts(workload: Workload) -> tuple[Path, list[dict[str, Any]], int]:
    """Model, prompts, and room for the longest of them."""
    import pandas as pd
    from PIL import Image

    from verl_df.lab.generation import load_processor, prompt_text
    from verl_df.prompts import render_repair

    rows = pd.read_parquet(WORLD / "repair_tasks/val.parquet").to_dict("records")[: workload.requests]
    processor = load_processor(str(WORLD / "repair"))
    prompts = []
    for row in rows:
        task = row["repair_task"]
        text = render_repair(row["prompt"][0]["content"], task["response"], task["reference"])
        image = Image.open(BytesIO(row["images"][0]["bytes"])).convert("RGB")
        chat = prompt_text(processor, [{"role": "user", "content": text}], 1)
        prompts.append({"prompt": chat, "multi_modal_data": {"image": [image]}})
    return WORLD / "repair", prompts, 512


def long_prompts(workload: Workload, folder: str) -> tuple[Path, list[dict[str, Any]], int]:
    """The same for the copying model."""
    import numpy as np

    from verl_df.lab.tiny.copying import CopyingModel

    model = CopyingModel(length=LENGTH + 1, vocabulary=1200, wrong=50, sureness=14.0, context=2048)
    path = Path(folder) / f"copying{os.getpid()}"
    model.save(path)
    source, prompts = np.random.default_rng(0), []
    for _ in range(workload.requests):
        tokens = source.integers(2 * model.wrong, model.end, LENGTH)
        tokens[source.choice(LENGTH, WRONG, replace=False)] = source.integers(0, model.wrong, WRONG)
        prompts.append({"prompt_token_ids": [*tokens.tolist(), model.end]})
    return path, prompts, LENGTH + 1


# ---- in turn ---------------------------------------------------------------------------------------------------------


def measure(workload: Workload, speculations: Sequence[str], rounds: int) -> list[dict[str, dict[str, float]]]:
    """Figures of each decoder in each round; the plain one is called off."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = {}, []
        for name in ("off", *speculations):
            pipes[name], other = context.Pipe()
            processes.append(context.Process(target=serve, args=(other, workload, name, folder)))
            processes[-1].start()
            other.close()
            ask(pipes[name])
        found = []
        for number in range(rounds):
            first = number % len(pipes)
            order = [*pipes][first:] + [*pipes][:first]
            found.append({name: ask(pipes[name]) for name in order})
        for pipe in pipes.values():
            pipe.send(False)
        for process in processes:
            process.join()
    return found


def ask(pipe: Connection) -> dict[str, float]:
    """Have one engine decode; its figures. Raises: EOFError where its process has ended."""
    pipe.send(True)
    return pipe.recv()


def ratios(rounds: list[dict[str, dict[str, float]]], speculation: str, figure: str) -> list[float]:
    """With drafts over plain, a figure for each round."""
    return [one[speculation][figure] / one["off"][figure] for one in rounds]


def row(workload: Workload, speculation: str, rounds: list[dict[str, dict[str, float]]]) -> str:
    """A line of the table."""
    cells = [f"{workload.name:10}", f"{workload.sequences:>9}", f"{speculation:11}"]
    for figure in FIGURES:
        values = ratios(rounds, speculation, figure)
        cells.append(f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})".rjust(24))
    last = rounds[-1][speculation]
    kept = last["accepted_tokens"] / max(1.0, last["draft_tokens"])
    cells += [f"{last['tokens'] / last['sequence_passes']:>16.1f}", f"{kept:>9.0%}"]
    return " ".join(cells)


def plot(found: dict[str, list[dict[str, dict[str, float]]]], speculations: Sequence[str]) -> str:
    """The ratios of each round, as SVG."""
    from verl_df.lab.drawing import draw_svg

    shown = {"passes": "forward passes", "wall_s": "wall time"}
    lines = [(name, kind, figure) for name in found for kind in speculations for figure in shown]

    def draw(axes: Any) -> None:
        for name, kind, figure in lines:
            values = ratios(found[name], kind, figure)
            axes.plot(range(1, len(values) + 1), values, marker="o")
        axes.set(xlabel="round", ylabel="with drafts / plain", ylim=(0, None))

    labels = [f"{name}, {kind}: {shown[figure]}" for name, kind, figure in lines]
    return draw_svg("Repairs with drafts against plain decoding", labels, draw)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--speculation", choices=("copy", "ngram", "suffix"), nargs="+", default=["copy"])
    parser.add_argument("--workload", choices=[one.name for one in WORKLOADS], nargs="*")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    parser.add_argument("--plot", type=Path, help="write an SVG there")
    given = parser.parse_args()
    os.environ.update({name: os.environ.get(name, value) for name, value in cpu_environment().items()})
    found = {}
    heads = " ".join(f"{name:>24}" for name in FIGURES)
    print(f"{'workload':10} {'at a time':>9} {'speculation':11} {heads} {'tokens/seq. pass':>16} {'accepted':>9}")
    for workload in WORKLOADS:
        if not given.workload or workload.name in given.workload:
            found[workload.name] = measure(workload, given.speculation, given.rounds)
            for kind in given.speculation:
                print(row(workload, kind, found[workload.name]), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"rounds": found}, indent=1) + "\n")
    if given.plot:
        given.plot.write_text(plot(found, given.speculation))


if __name__ == "__main__":
    main()
