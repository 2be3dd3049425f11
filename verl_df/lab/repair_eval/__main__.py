# SPDX-License-Identifier: Apache-2.0
"""How good repair models are on held-out wrong responses.

    verl-df repair-eval --data repair_tasks.parquet --repair stage1=MODEL [--repair stage2=MODEL2] --out DIR
    verl-df repair-eval --from DIR                                  compute the figures again, without a model
    verl-df repair-eval compare --group stage1=DIR1,DIR2 --group stage2=DIR3,DIR4 --out DIR
    verl-df repair-eval lambda --point 0.2=DIR1 --point 0.5=DIR2,DIR3 --out DIR

Writes repair_eval.json, .md and .svg, and every sample to samples.jsonl.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from verl_df.lab.command_line import engine_arguments, named_values
from verl_df.method.image_removal import REMOVALS

_DEFAULTS = "default: %(default)s"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 1 and one line on stderr for bad input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = COMMANDS.get(arguments[0]) if arguments else None
    try:
        page = command(arguments[1:]) if command else _evaluate(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(page)
    return 0


def _evaluate(argv: Sequence[str]) -> str:
    from verl_df.lab.repair_eval.report import write_report

    arguments = vars(_evaluation_parser().parse_args(argv))
    again, out = arguments.pop("again"), arguments.pop("out")
    if again is not None:
        return write_report(again)
    missing = [f"--{name}" for name in ("data", "repair") if not arguments[name]] + ([] if out else ["--out"])
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given, or --from with a finished evaluation")
    from verl_df.lab.repair_eval.run import EvaluationSettings, run_evaluation  # seconds of imports

    arguments["repair"] = named_values("--repair", arguments["repair"])
    arguments["engine"] = engine_arguments(arguments["engine"]) or None
    run_evaluation(EvaluationSettings(**arguments), out)
    return write_report(out)


def _compare(argv: Sequence[str]) -> str:
    from verl_df.lab.repair_eval.compare import parse_group, write_comparison

    parser = argparse.ArgumentParser(prog="verl-df repair-eval compare")
    form = "NAME=DIR[#METHOD],DIR[#METHOD],..."
    parser.add_argument("--group", action="append", required=True, metavar=form, help="runs of one thing; repeat")
    parser.add_argument("--out", type=Path, required=True, help="folder for compare.json and compare.md")
    arguments = parser.parse_args(argv)
    return write_comparison([parse_group(text) for text in arguments.group], arguments.out)


def _lambda(argv: Sequence[str]) -> str:
    from verl_df.lab.repair_eval.sweep import parse_point, write_sweep

    parser = argparse.ArgumentParser(prog="verl-df repair-eval lambda")
    form = "LAMBDA=DIR[#METHOD],DIR[#METHOD],..."
    parser.add_argument("--point", action="append", required=True, metavar=form, help="runs of one lambda; repeat")
    parser.add_argument("--out", type=Path, required=True, help="folder for lambda.json, lambda.md and lambda.svg")
    arguments = parser.parse_args(argv)
    return write_sweep([parse_point(text) for text in arguments.point], arguments.out)


COMMANDS: dict[str, Callable[[Sequence[str]], str]] = {"compare": _compare, "lambda": _lambda}


def _evaluation_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verl-df repair-eval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", metavar="PARQUET", help="repair-task rows")
    add("--repair", action="append", default=[], metavar="NAME=MODEL", help="a repair model; repeat for more")
    add("--policy", metavar="MODEL", help="the policy, for the baseline that answers again; none: left out")
    add("--out", type=Path, metavar="DIR", help="folder for the results")
    add("--from", dest="again", type=Path, metavar="DIR", help="compute figures, table and plot of DIR again")
    add("--n", type=int, default=2, help=f"samples per response and seed ({_DEFAULTS})")
    add("--temperature", type=float, default=1.0, help=_DEFAULTS)
    add("--top-p", type=float, default=1.0, help=_DEFAULTS)
    add("--max-tokens", type=int, help="tokens of a repair (default: twice the longest response of the data)")
    add("--seeds", type=int, default=3, help=f"sampling seeds ({_DEFAULTS})")
    add("--seed", type=int, default=0, help=f"the first of them ({_DEFAULTS})")
    add("--greedy", action="store_true", help="a greedy sample besides")
    add("--limit", type=int, help="rows to read (default: all)")
    add("--threshold", type=float, default=1.0, help=f"r_task from which an answer is right ({_DEFAULTS})")
    add("--image-removal", choices=REMOVALS, help="generate right answers again without the image")
    add("--prompt-template", metavar="FILE", help="repair prompt (default: the packaged repair.txt)")
    add("--reward-path", metavar="PATH", help="pkg://module or file of r_task (default: verl's own)")
    add("--reward-name", default="compute_score", help=_DEFAULTS)
    add("--reward-workers", type=int, default=1, help=f"answers judged at a time ({_DEFAULTS})")
    add("--truth-path", metavar="PATH", help="pkg://module or file of the true error mask")
    add("--truth-name", default="error_mask", help=_DEFAULTS)
    add("--max-model-len", type=int, help="tokens of prompt and response (default: the model's)")
    add("--dtype", default="auto", help=_DEFAULTS)
    add("--engine", action="append", default=[], metavar="KEY=VALUE", help="argument of vllm.LLM; repeat for more")
    return parser


if __name__ == "__main__":
    sys.exit(main())
