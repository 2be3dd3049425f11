# SPDX-License-Identifier: Apache-2.0
"""The task of benchmarks: checks everything, loads the model, keeps every response as soon as it is scored."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from functools import cache
from pathlib import Path

from verl_df.judges.endpoint import EndpointConfig
from verl_df.judges.failures import EndpointFailure
from verl_df.judges.score import judge
from verl_df.lab.engine import Judged, SampleFile, judged
from verl_df.lab.eval.finished import BenchmarkFolder
from verl_df.lab.eval.problems import DataSet, check_reward_knows, read_data
from verl_df.lab.eval.records import SAMPLES, Problem, Sample
from verl_df.lab.eval.server import ChatServer
from verl_df.lab.eval.settings import REWARD, BenchmarkSettings
from verl_df.lab.generation import Generator, VLLMGenerator, load_processor
from verl_df.lab.task_reward import TaskReward

OpenGenerator = Callable[[str], AbstractContextManager[Generator]]


def run_benchmarks(settings: BenchmarkSettings, out: Path, open_generator: OpenGenerator | None = None) -> None:
    """Evaluate into `out`; goes on where an earlier run with the same settings ended.

    Everything that can be wrong is checked before the model is loaded. Samples are appended to samples.jsonl; a row
    that a server failed to answer is left out, never scored.

    Args:
        settings: what to evaluate, and how.
        out: a new folder, or one of an earlier run.
        open_generator: opens the model of a folder; None: vLLM's offline engine, or the server.

    Raises:
        FileNotFoundError: data, model or checkpoint are missing.
        ValueError: anything else that is wrong, and, after all that could be had was written, missing answers.
    """
    folder = BenchmarkFolder(out)
    data = [read_data(name, Path(path), settings.limit) for name, path in settings.data.items()]
    reward = TaskReward(settings.reward_path, settings.reward_name, settings.reward_workers)
    for one in data:
        check_reward_knows(one, reward, every_row=settings.reward_path == REWARD)
    _check_model(settings)
    folder.keep(asdict(settings), [problem for one in data for problem in one.problems])
    opened = open_generator or _opener(settings)
    missing = 0
    with ExitStack() as stack, SampleFile(folder.samples, SAMPLES, lambda _: settings.decoding.n) as file:
        # opened by the first problem that is left, if any
        generator = cache(lambda: stack.enter_context(opened(_model(settings, out / "model"))))
        for one in data:
            for seed in settings.all_seeds:
                left = [problem for problem in one.problems if (one.name, seed, problem.problem) not in file.done]
                if left:
                    missing += _answer(settings, one, left, seed, generator(), reward, file)
        failures = generator().failures() if missing else ""
    if missing:
        raise ValueError(f"{missing} problems have no answer ({failures}): run the same command again to ask for them")


def _answer(
    settings: BenchmarkSettings,
    data: DataSet,
    left: Sequence[Problem],
    seed: int,
    generator: Generator,
    reward: TaskReward,
    file: SampleFile[Sample],
) -> int:
    """Answer the problems that are left of a data set under one seed. Returns how many failed."""
    name, total = f"{settings.name} on {data.name}, seed {seed}", len(left) * settings.decoding.n
    answered, right, failed = 0, 0.0, 0
    for chunk in judged(data.requests(left, generator.patch_size), generator, settings.decoding, seed, reward):
        samples = [_sample(settings, one, seed) for own in chunk for one in own]
        if not samples:
            raise ValueError(f"no problem of {len(chunk)} was answered ({generator.failures()})")
        file.append(samples)
        failed += sum(not own for own in chunk)
        answered, right = answered + len(samples), right + sum(sample.score for sample in samples)
        print(f"[evaluation] {name}: {answered} of {total} responses, {100 * right / answered:.1f}% right", flush=True)
    return failed


def _sample(settings: BenchmarkSettings, one: Judged[Problem], seed: int) -> Sample:
    problem, response, extracted = one.row, one.response, None
    if settings.reward_path == REWARD:  # another reward function does not say what it read
        extracted = judge(problem.data_source, response.text, problem.ground_truth, problem.extra_info).extracted
    return Sample(
        data=problem.data,
        problem=problem.problem,
        seed=seed,
        sample=one.number,
        text=response.text,
        tokens=response.tokens,
        finished=response.finished,
        extracted=extracted,
        score=one.score,
    )


def _check_model(settings: BenchmarkSettings) -> None:
    """See, without loading it, that the model is there: a processor in its folder, a checkpoint to merge, a server."""
    if settings.server:
        asyncio.run(_check_server(_server(settings)))
    elif settings.checkpoint is not None:
        from verl_df.lab.checkpoint.locate import find_actor

        find_actor(Path(settings.checkpoint))
    else:
        load_processor(settings.model or "", settings.trust_remote_code)


def _model(settings: BenchmarkSettings, merged: Path) -> str:
    """The model's folder or served name; a checkpoint is merged into `merged` first, once."""
    if settings.checkpoint is None:
        return settings.model or ""
    if not merged.exists():
        from verl_df.lab.checkpoint.merge import merge_checkpoint

        print(f"[evaluation] merging {settings.checkpoint} into {merged}", flush=True)
        merge_checkpoint(Path(settings.checkpoint), merged)
    return str(merged)


def _opener(settings: BenchmarkSettings) -> OpenGenerator:
    if settings.server:
        return lambda model: nullcontext(_server(settings))
    options = {"max_model_len": settings.max_model_len, "dtype": settings.dtype, **settings.engine}
    return lambda model: VLLMGenerator(model, trust_remote_code=settings.trust_remote_code, **options)


def _server(settings: BenchmarkSettings) -> ChatServer:
    config = EndpointConfig(
        base_url=settings.server_url or "",
        model=settings.model or "",
        api_key_env=settings.api_key_env,
        timeout_s=settings.timeout_s,
        max_concurrency=settings.concurrency,
        max_tokens=settings.max_tokens,
    )
    return ChatServer(config)


async def _check_server(server: ChatServer) -> None:
    try:
        await server.check()
    except EndpointFailure as failure:
        raise ValueError(f"--server: {failure}") from failure
    finally:
        await server.aclose()
