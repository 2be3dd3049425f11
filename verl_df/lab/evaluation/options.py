# SPDX-License-Identifier: Apache-2.0
"""Options of the commands."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from verl_df.lab.command_line import engine_arguments, named_values
from verl_df.lab.evaluation.settings import REWARD, EvaluationSettings

_DEFAULTS = "default: %(default)s"
_RUN = "NAME=DIR[,DIR...]"


def run_settings(argv: Sequence[str]) -> tuple[EvaluationSettings, Path]:
    """Settings and folder of a `run`. Raises: ValueError for options that do not fit together."""
    arguments = vars(_run_parser().parse_args(argv))
    out, named = arguments.pop("out"), {}
    for option in ("model", "checkpoint"):
        text = arguments.pop(option)
        if text is not None:
            named[option] = named_values(f"--{option}", [text])
    if len(named) != 1:
        raise ValueError("give either --model NAME=FOLDER or --checkpoint NAME=DIR")
    option, chosen = next(iter(named.items()))
    name, place = next(iter(chosen.items()))
    arguments |= {"name": name, "model": None, "checkpoint": None, option: place}
    arguments["server"] = arguments["server_url"] is not None
    arguments["data"] = named_values("--data", arguments["data"])
    arguments["engine"] = engine_arguments(arguments["engine"])
    if arguments["seeds"] is None:
        arguments["seeds"] = 1 if arguments["greedy"] else EvaluationSettings.seeds
    return EvaluationSettings(**arguments), out


def score_parser() -> argparse.ArgumentParser:
    """Of `score`."""
    parser = _parser("score", "Score finished evaluations again with lmms-eval, from an environment of its own.")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="a finished evaluation")
    parser.add_argument("--python", required=True, metavar="FILE", help="the Python that has lmms-eval installed")
    parser.add_argument("--workers", type=int, default=4, help=f"responses scored at a time ({_DEFAULTS})")
    return parser


def table_parser() -> argparse.ArgumentParser:
    """Of `table`."""
    parser = _parser("table", "Runs as a table in the paper's layout: table.md, table.tex, table.json, table.svg.")
    parser.add_argument("--run", action="append", required=True, metavar=_RUN, help="a row; repeat for more")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")
    parser.add_argument("--interval", choices=("seeds", "problems"), default="seeds", help=f"what ± is ({_DEFAULTS})")
    _add_scores(parser)
    return parser


def compare_parser() -> argparse.ArgumentParser:
    """Of `compare`."""
    parser = _parser("compare", "Two runs with a paired bootstrap test: compare.md, compare.json.")
    parser.add_argument("--a", required=True, metavar=_RUN, help="the run whose gain is asked for")
    parser.add_argument("--b", required=True, metavar=_RUN, help="the run that it is compared with")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the comparison")
    _add_scores(parser)
    return parser


def _run_parser() -> argparse.ArgumentParser:
    parser = _parser("run", "Sample a model on data sets, score and keep every response.")
    add, defaults = parser.add_argument, EvaluationSettings
    add("--model", metavar="NAME=FOLDER", help="Hugging Face folder; with --server the name that is served")
    add("--checkpoint", metavar="NAME=DIR", help="a checkpoint of verl's (.../global_step_N), merged into --out first")
    add("--data", action="append", required=True, metavar="NAME=PARQUET", help="RL rows; repeat for more")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the evaluation; an unfinished one goes on")
    add("--n", type=int, default=defaults.n, help=f"responses per problem and seed ({_DEFAULTS})")
    add("--temperature", type=float, default=defaults.temperature, help=_DEFAULTS)
    add("--top-p", type=float, default=defaults.top_p, help=_DEFAULTS)
    add("--greedy", action="store_true", help="the likeliest token always, as verl validates by default")
    add("--seeds", type=int, help=f"sampling seeds (default: {defaults.seeds}; 1 with --greedy)")
    add("--seed", type=int, default=defaults.seed, help=f"the first of them ({_DEFAULTS})")
    add("--max-tokens", type=int, default=defaults.max_tokens, help=f"tokens of a response ({_DEFAULTS})")
    add("--limit", type=int, help="problems of each data set, drawn at random (default: all)")
    add("--reward-path", default=REWARD, metavar="PATH", help=f"pkg://module or file of the score ({_DEFAULTS})")
    add("--reward-name", default=defaults.reward_name, help=_DEFAULTS)
    add("--reward-workers", type=int, default=defaults.reward_workers, help=f"answers scored at a time ({_DEFAULTS})")
    add("--max-model-len", type=int, help="tokens of prompt and response (default: the model's)")
    add("--dtype", default=defaults.dtype, help=_DEFAULTS)
    add("--trust-remote-code", action="store_true", help="run code that lies in the model's folder")
    add("--engine", action="append", default=[], metavar="KEY=VALUE", help="argument of vllm.LLM; repeat for more")
    add("--server", dest="server_url", metavar="URL", help="an OpenAI-compatible server instead, such as vllm serve")
    add("--api-key-env", metavar="NAME", help="environment variable with the server's key (default: no key)")
    add("--timeout-s", type=float, default=defaults.timeout_s, help=f"for one response of a server ({_DEFAULTS})")
    add("--concurrency", type=int, default=defaults.concurrency, help=f"responses at a time ({_DEFAULTS})")
    return parser


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"verl-df eval {command}", description=description)


def _add_scores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scores", metavar="NAME", help="scores that `score` wrote: lmms_eval (default: the run's own)"
    )
