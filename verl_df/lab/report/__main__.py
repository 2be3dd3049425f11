# SPDX-License-Identifier: Apache-2.0
"""``verl-df report --run RUN_DIR --out RUN_DIR/report.html``."""

import argparse
import sys
from pathlib import Path

from verl_df.lab.report.page import build_report
from verl_df.lab.report.pairs import DEFAULT_PAIRS


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="verl-df report", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder with metrics.jsonl and pairs.jsonl")
    parser.add_argument("--out", type=Path, help="HTML file to write (default: RUN/report.html)")
    parser.add_argument("--pairs", type=int, default=DEFAULT_PAIRS, help="pairs to show (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Write the report; exit code 1 and one line on stderr where an input is missing or malformed."""
    arguments = parse_arguments(argv)
    out: Path = arguments.out or arguments.run / "report.html"
    try:
        page = build_report(arguments.run, n_pairs=arguments.pairs)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    print(f"wrote {out} ({out.stat().st_size / 1024:.0f} KiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
