# SPDX-License-Identifier: Apache-2.0
"""The report of a run: one HTML page with its curves, its cost by phase, and pairs of wrong and repaired responses.

verl-df report --run outputs/toy/df_grpo
verl-df report --run RUN --pairs 20 --out page.html
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.io.files import write_text
from verl_df.lab.report.page import build_report
from verl_df.lab.report.pairs import DEFAULT_PAIRS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--run", type=Path, required=True, help="folder with metrics.jsonl and pairs.jsonl")
    parser.add_argument("--out", type=Path, help="HTML file to write (default: RUN/report.html)")
    parser.add_argument("--pairs", type=int, default=DEFAULT_PAIRS, help="pairs to show (default: %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Write the report."""
    out: Path = arguments.out or arguments.run / "report.html"
    page = build_report(arguments.run, n_pairs=arguments.pairs)
    write_text(out, page)
    print(f"wrote {out} ({out.stat().st_size / 1024:.0f} KiB)")


if __name__ == "__main__":
    sys.exit(cli.main(["report", *sys.argv[1:]]))
