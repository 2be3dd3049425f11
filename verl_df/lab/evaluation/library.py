# SPDX-License-Identifier: Apache-2.0
"""Scores of lmms-eval for the responses that an evaluation kept.

lmms-eval scores all six benchmarks, MathVista and MathVerse by asking a language model, as their authors do. Its
package demands over a hundred others and older versions of some that verl and vLLM bring, so it lives in an environment
of its own and is asked through a pipe (`lmms_worker`).
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from verl_df.io.files import write_json
from verl_df.io.json_lines import LineWriter
from verl_df.judges.score import RULES
from verl_df.lab.evaluation.benchmarks import title
from verl_df.lab.evaluation.folder import EvaluationFolder, read_evaluation
from verl_df.lab.evaluation.records import Problem, Sample, Score, read_records, to_json_line
from verl_df.lab.markdown import markdown_table

NAME = "lmms_eval"
ASK_A_MODEL = ("mathvista", "mathverse")
_PROGRAM = Path(__file__).with_name("lmms_worker.py")
_VARIABLES = ("OPENAI_API_KEY", "OPENAI_API_URL", "MODEL_VERSION")


@dataclass(frozen=True)
class _Failed:
    sample: Sample
    reason: str


class Worker:
    """A process of lmms-eval; one question at a time. version: of lmms-eval.

    Raises: ValueError where it does not start.
    """

    def __init__(self, python: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        try:
            self._process = subprocess.Popen([python, "-P", str(_PROGRAM)], text=True, encoding="utf-8", **pipes)  # type: ignore[call-overload]
        except OSError as error:
            raise ValueError(f"--python {python}: {error.strerror}") from error
        greeting = self._line()
        if not greeting:
            raise ValueError(f"--python {python}: lmms-eval cannot be imported there; see the messages above")
        self.version: str = json.loads(greeting)["version"]

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The reply: "score" and "extracted", or "error"."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": "the process of lmms-eval has ended"}
        line = self._line()
        return json.loads(line) if line else {"error": "the process of lmms-eval has ended"}

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def score_by_library(root: Path, python: str, workers: int) -> str:
    """Score a finished evaluation and write `scores.lmms_eval.jsonl`. Returns a page that compares the scores.

    Goes on where an earlier call was ended. A response that could not be scored has no line.

    Args:
        root: folder of the evaluation.
        python: of an environment with lmms-eval.
        workers: processes, each with one response at a time.

    Raises:
        FileNotFoundError, ValueError: as `read_evaluation`; a data source that lmms-eval does not score; no language
            model where one is asked; no lmms-eval; and, after all others were written, responses without a score.
    """
    if workers < 1:
        raise ValueError(f"--workers is {workers}: at least 1")
    evaluation, folder = read_evaluation(root), EvaluationFolder(root)
    problems = {(problem.data, problem.problem): problem for problem in evaluation.problems}
    _check_sources(evaluation.problems)
    with LineWriter(folder.scores(NAME)) as writer:
        done = {score.key for score in read_records(folder.scores(NAME), Score)}
        left = [sample for sample in evaluation.samples if sample.key not in done]
        failed, version = _score(left, problems, python, workers, writer)
    if version:
        write_json(folder.scores(NAME).with_suffix(".json"), {"version": version, "model": _model()})
    if failed:
        raise ValueError(f"{len(failed)} of {len(left)} responses have no score ({failed[0].reason}): run it again")
    return _page(evaluation.samples, read_evaluation(root, NAME).samples, version)


def document(problem: Problem) -> dict[str, Any]:
    """A row in the columns that lmms-eval's functions read, from what the converted row kept of its source."""
    extra, truth = problem.extra_info, problem.ground_truth
    choices = [str(choice) for choice in extra.get("choices") or []]
    answer = extra.get("answer") or truth
    query = problem.prompt.replace("<image>", "").strip()
    forms: dict[str, dict[str, Any]] = {
        "mathvista": {"pid": problem.problem, "query": query, "choices": choices, "answer": answer, "metadata": {}},
        "mathverse": {"question_for_eval": extra.get("question_for_eval"), "answer": answer},
        "mmmu": {"id": _mmmu_id(problem), "options": repr(choices), "answer": extra.get("answers") or truth},
        "mathvision": {"question": extra.get("question"), "options": choices, "answer": truth},
        "mmstar": {"answer": truth},
        "ai2d": {"options": choices, "answer": ord(truth[0]) - ord("A")},
    }
    own = {key: extra[key] for key in ("question_type", "answer_type", "precision") if key in extra}
    return own | forms[problem.data_source]


def _mmmu_id(problem: Problem) -> str:
    """lmms-eval takes the subject out of ids such as validation_Art_12."""
    known = re.fullmatch(r"(validation|dev|test)_.+_\d+", problem.problem)
    return problem.problem if known else f"validation_Unknown_{problem.index}"


def _check_sources(problems: Sequence[Problem]) -> None:
    sources = {problem.data_source for problem in problems}
    unknown = sorted(sources - RULES.keys())
    if unknown:
        raise ValueError(f"lmms-eval does not score the data source {unknown[0]!r}; it scores {', '.join(RULES)}")
    asking = sorted(sources & set(ASK_A_MODEL))
    unset = [name for name in _VARIABLES if not os.environ.get(name)]
    if asking and unset:
        raise ValueError(
            f"{' and '.join(map(title, asking))} need a language model: export {', '.join(unset)} (key, URL ending in "
            "/v1, name of the model)"
        )


def _score(
    left: Sequence[Sample],
    problems: Mapping[tuple[str, str], Problem],
    python: str,
    workers: int,
    writer: LineWriter,
) -> tuple[list[_Failed], str]:
    if not left:
        return [], ""
    free: SimpleQueue[Worker] = SimpleQueue()
    started: list[Worker] = []
    try:
        for _ in range(min(workers, len(left))):
            started.append(Worker(python))
            free.put(started[-1])

        def one(sample: Sample) -> _Failed | None:
            worker = free.get()
            try:
                reply = worker.ask(_question(sample, problems[sample.data, sample.problem]))
            finally:
                free.put(worker)
            if "error" in reply:
                return _Failed(sample, reply["error"])
            key = {name: getattr(sample, name) for name in ("data", "problem", "seed", "sample")}
            writer.write_line(to_json_line(Score(**key, extracted=reply["extracted"], score=reply["score"])))
            return None

        with ThreadPoolExecutor(len(started)) as pool:
            return [found for found in pool.map(one, left) if found is not None], started[0].version
    finally:
        for worker in started:
            worker.stop()


def _question(sample: Sample, problem: Problem) -> dict[str, Any]:
    seed = f"{sample.problem} {sample.seed} {sample.sample}"
    return {"benchmark": problem.data_source, "doc": document(problem), "text": sample.text, "seed": seed}


def _model() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in ("OPENAI_API_URL", "MODEL_VERSION")}


def _page(ours: Sequence[Sample], theirs: Sequence[Sample], version: str) -> str:
    names = list(dict.fromkeys(sample.data for sample in ours))
    rows = []
    for name in names:
        pairs = [(a.score, b.score) for a, b in zip(ours, theirs, strict=True) if a.data == name]
        own, other, same = (
            sum(values) / len(pairs) for values in zip(*((a, b, a == b) for a, b in pairs), strict=True)
        )
        rows.append([title(name), *(f"{100 * share:.1f}%" for share in (own, other, same))])
    table = markdown_table(["benchmark", "own rule", "lmms-eval", "the same score"], rows)
    return f"# Scores of lmms-eval {version}\n\n{table}"
