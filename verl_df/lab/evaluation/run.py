# SPDX-License-Identifier: Apache-2.0
"""Runs an evaluation: checks everything, loads the model, keeps every response as soon as it is scored."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from verl_df.io.json_lines import LineWriter
from verl_df.judges.score import judge
from verl_df.lab.evaluation.folder import EvaluationFolder
from verl_df.lab.evaluation.opening import OpenSampler, check_model, model_of, opener
from verl_df.lab.evaluation.problems import DataSet, answer_to, check_reward_knows, read_data
from verl_df.lab.evaluation.records import Problem, Sample, read_records, to_json_line, write_records
from verl_df.lab.evaluation.sampling import Drawn, Sampler
from verl_df.lab.evaluation.settings import REWARD, EvaluationSettings
from verl_df.lab.generation import Request
from verl_df.lab.task_reward import TaskReward

# Problems under way at a time: their images are in memory, and a run that is ended loses the answers to them.
CHUNK = 256


def run_evaluation(settings: EvaluationSettings, out: Path, open_sampler: OpenSampler | None = None) -> None:
    """Evaluate into `out`; goes on where an earlier run with the same settings ended.

    Everything that can be wrong is checked before the model is loaded. Samples are appended to samples.jsonl; a row
    that a server failed to answer is left out, never scored.

    Args:
        settings: what to evaluate, and how.
        out: a new folder, or one of an earlier run.
        open_sampler: opens the model of a folder; None: vLLM's offline engine, or the server.

    Raises:
        FileNotFoundError: data, model or checkpoint are missing.
        ValueError: anything else that is wrong, and, after all that could be had was written, missing answers.
    """
    folder = EvaluationFolder(out)
    data = [read_data(name, Path(path), settings.limit) for name, path in settings.data.items()]
    reward = TaskReward(settings.reward_path, settings.reward_name, settings.reward_workers)
    for one in data:
        check_reward_knows(one, reward, every_row=settings.reward_path == REWARD)
    check_model(settings)
    folder.keep(asdict(settings), [problem for one in data for problem in one.problems])
    done = _done(folder, settings)
    todo = [(one, seed, left) for one in data for seed in settings.all_seeds if (left := _left(one, seed, done))]
    if not todo:
        return
    model = model_of(settings, folder)
    missing = 0
    with (open_sampler or opener(settings))(model) as sampler, LineWriter(folder.samples) as writer:
        for one, seed, left in todo:
            missing += _Pass(settings, one, seed, reward, sampler, writer).answer(left)
        failures = sampler.failures()
    if missing:
        raise ValueError(f"{missing} problems have no answer ({failures}): run the same command again to ask for them")


class _Pass:
    """One data set under one seed."""

    def __init__(
        self,
        settings: EvaluationSettings,
        data: DataSet,
        seed: int,
        reward: TaskReward,
        sampler: Sampler,
        writer: LineWriter,
    ) -> None:
        self._settings, self._data, self._seed = settings, data, seed
        self._reward, self._sampler, self._writer = reward, sampler, writer

    def answer(self, left: Sequence[Problem]) -> int:
        """Answer the problems that are left, a chunk at a time. Returns how many failed."""
        requests = self._data.requests(left)
        answered, right, failed = 0, 0.0, 0
        while chunk := list(islice(requests, CHUNK)):
            drawn = self._sampler.sample([request for _, request in chunk], self._settings.decoding, self._seed)
            samples = self._scored(chunk, drawn)
            for sample in samples:
                self._writer.write_line(to_json_line(sample))
            if not samples:
                raise ValueError(f"no problem of {len(chunk)} was answered ({self._sampler.failures()})")
            failed += sum(not own for own in drawn)
            answered, right = answered + len(samples), right + sum(sample.score for sample in samples)
            self._say(answered, len(left) * self._settings.decoding.n, right / answered)
        return failed

    def _scored(self, chunk: Sequence[tuple[Problem, Request]], drawn: Sequence[Sequence[Drawn]]) -> list[Sample]:
        pairs = [
            (problem, number, one)
            for (problem, _), own in zip(chunk, drawn, strict=True)
            for number, one in enumerate(own)
        ]
        scores = self._reward.score([answer_to(problem, one.text) for problem, _, one in pairs])
        return [
            Sample(
                data=problem.data,
                problem=problem.problem,
                seed=self._seed,
                sample=number,
                text=one.text,
                tokens=one.tokens,
                finished=one.finished,
                extracted=self._extracted(problem, one.text),
                score=score,
            )
            for (problem, number, one), score in zip(pairs, scores, strict=True)
        ]

    def _extracted(self, problem: Problem, text: str) -> str | None:
        if self._settings.reward_path != REWARD:
            return None  # another reward function does not say what it read
        return judge(problem.data_source, text, problem.ground_truth, problem.extra_info).extracted

    def _say(self, answered: int, of: int, accuracy: float) -> None:
        name = f"{self._settings.name} on {self._data.name}, seed {self._seed}"
        print(f"[evaluation] {name}: {answered} of {of} responses, {100 * accuracy:.1f}% right", flush=True)


def _done(folder: EvaluationFolder, settings: EvaluationSettings) -> set[tuple[str, int, str]]:
    """Data set, seed and problem of what has all its samples; half of a problem's samples are cut off the file."""
    if not folder.samples.exists():
        return set()
    with LineWriter(folder.samples):  # cuts off half a line
        pass
    samples = list(read_records(folder.samples, Sample))
    counts = Counter((sample.data, sample.seed, sample.problem) for sample in samples)
    done = {key for key, count in counts.items() if count == settings.decoding.n}
    if len(done) < len(counts):
        whole = [sample for sample in samples if (sample.data, sample.seed, sample.problem) in done]
        write_records(folder.samples, whole)
    return done


def _left(data: DataSet, seed: int, done: set[tuple[str, int, str]]) -> list[Problem]:
    return [problem for problem in data.problems if (data.name, seed, problem.problem) not in done]
