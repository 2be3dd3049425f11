# SPDX-License-Identifier: Apache-2.0
"""Show how the rules judge a response: what is read, the kind of the ground truth, the verdict and why.

    verl-df judge "3 1/2" "The answer is 3.5."
    verl-df judge B "\\boxed{B. 4 cm}" --choice "3 cm" --choice "4 cm"
    verl-df judge B "The answer is B or C" --data-source ai2d
    verl-df judge "12 cm" - < response.txt

Without a response it says which kind of ground truth it is. docs/judge.md has the kinds.
"""

import argparse
import sys

from verl_df import cli
from verl_df.lab.command_line import engine_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("truth", help="the ground truth")
    parser.add_argument("response", nargs="?", help="the response; - reads it from the standard input")
    parser.add_argument(
        "--choice", action="append", default=[], metavar="TEXT", help="an option's text; repeat, in order"
    )
    parser.add_argument("--data-source", default="", metavar="NAME", help="judge by the rule of this benchmark")
    parser.add_argument("--extra", action="append", default=[], metavar="KEY=VALUE", help="of extra_info; repeat")


def run(arguments: argparse.Namespace) -> None:
    """Print the verdict."""
    from verl_df.judges.score import judge  # seconds of imports

    extra = engine_arguments(arguments.extra)
    if arguments.choice:
        extra["choices"] = arguments.choice
    if arguments.response is None:
        from verl_df.judges.final_answer import judge as by_kind

        verdict = by_kind(f"\\boxed{{{arguments.truth}}}", arguments.truth, extra)
        matched = "" if verdict.right else f"\nno match  the truth itself, boxed, is not right: {verdict.why}"
        print(f"kind      {verdict.kind}{matched}")
        return
    response = sys.stdin.read() if arguments.response == "-" else arguments.response
    verdict = judge(arguments.data_source, response, arguments.truth, extra)
    said = "right" if verdict.right else "doubtful, so wrong" if verdict.doubtful else "wrong"
    print(f"kind      {verdict.kind or 'the rule of the benchmark'}")
    print(f"answer    {'none' if verdict.extracted is None else verdict.extracted}")
    print(f"verdict   {said}: {verdict.why}")


if __name__ == "__main__":
    sys.exit(cli.main(["judge", *sys.argv[1:]]))
