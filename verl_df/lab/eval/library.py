# SPDX-License-Identifier: Apache-2.0
"""Scores of lmms-eval for the responses that an evaluation kept.

lmms-eval scores all six benchmarks, MathVista and MathVerse by asking a language model, as their authors do. Its
package demands over a hundred others and older versions of some that verl and vLLM bring, so it lives in an environment
of its own and is asked through a pipe (`lmms_worker`).
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryFile
from typing import Any

import pandas as pd

from verl_df.io.files import write_json
from verl_df.io.json_text import json_object
from verl_df.io.lines import RecordWriter
from verl_df.judges.score import RULES
from verl_df.lab.eval.benchmarks import title
from verl_df.lab.eval.finished import read_evaluation, scores_file
from verl_df.lab.eval.intervals import format_value
from verl_df.lab.eval.records import SCORES, Problem, Sample, Score
from verl_df.lab.markdown import markdown_table

NAME = "lmms_eval"
ASK_A_MODEL = ("mathvista", "mathverse")
_PROGRAM = Path(__file__).with_name("lmms_worker.py")
_VARIABLES = ("OPENAI_API_KEY", "OPENAI_API_URL", "MODEL_VERSION")


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
    evaluation, path = read_evaluation(root), scores_file(root, NAME)
    problems = {(problem.data, problem.problem): problem for problem in evaluation.problems}
    _check_sources(evaluation.problems)
    with SCORES.writer(path) as writer:
        done = {score.key for score in SCORES.read(path)}
        left = [sample for sample in evaluation.samples if sample.key not in done]
        version, failed = _score(left, problems, python, workers, writer)
    if left:
        model = {name: os.environ.get(name) for name in _VARIABLES[1:]}
        write_json(path.with_suffix(".json"), {"version": version, "model": model})
    if failed:
        raise ValueError(f"{len(failed)} of {len(left)} responses have no score ({failed[0]}): run it again")
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
    writer: RecordWriter[Score],
) -> tuple[str, list[str]]:
    """Score the samples that are left. Returns the version of lmms-eval, and why samples have no score."""
    if not left:
        return "", []
    command, failed, scored = [python, "-P", str(_PROGRAM), str(min(workers, len(left)))], [], 0
    with TemporaryFile("w+", encoding="utf-8") as questions:
        questions.writelines(_question(sample, problems[sample.data, sample.problem]) for sample in left)
        questions.seek(0)
        try:
            process = Popen(command, stdin=questions, stdout=PIPE, text=True, encoding="utf-8")
        except OSError as error:
            raise ValueError(f"--python {python}: {error.strerror}") from error
    with process, process.stdout as replies:  # type: ignore[union-attr]
        greeting = replies.readline()
        if not greeting:
            raise ValueError(f"--python {python}: lmms-eval cannot be imported there; see the messages above")
        for sample, line in zip(left, replies, strict=False):
            scored, reply = scored + 1, json_object(line, "a reply of lmms-eval")
            if "error" in reply:
                failed.append(reply["error"])
            else:
                writer.write(Score(*sample.key, extracted=reply["extracted"], score=reply["score"]))
    failed += ["the process of lmms-eval has ended"] * (len(left) - scored)
    return json_object(greeting, "the greeting of lmms-eval")["version"], failed


def _question(sample: Sample, problem: Problem) -> str:
    seed = f"{sample.problem} {sample.seed} {sample.sample}"
    content = {"benchmark": problem.data_source, "doc": document(problem), "text": sample.text, "seed": seed}
    return json.dumps(content) + "\n"


def _page(ours: Sequence[Sample], theirs: Sequence[Sample], version: str) -> str:
    pairs = pd.DataFrame(
        [(a.data, a.score, b.score, a.score == b.score) for a, b in zip(ours, theirs, strict=True)],
        columns=["data", "ours", "theirs", "same"],
    )
    means = pairs.groupby("data", sort=False).mean()
    rows = [
        [title(str(name)), *map(format_value, own)] for name, own in zip(means.index, means.to_numpy(), strict=True)
    ]
    table = markdown_table(["benchmark", "own rule", "lmms-eval", "the same score"], rows)
    return f"# Scores of lmms-eval {version}\n\n{table}"
