# SPDX-License-Identifier: Apache-2.0
"""Build a repair set for a policy: sample, annotate, import, write verl's parquet.

    verl-df repair-data sample --model POLICY --data train.parquet --out DIR
    verl-df repair-data export DIR --format html
    verl-df repair-data import DIR annotations.jsonl
    verl-df repair-data parquet DIR --out-sft repair_sft.parquet --out-rl repair_tasks.parquet

`targets` takes the annotator's place where a task can compute y*. Each command has its own --help.
"""

import argparse
import sys
from collections.abc import Sequence

from verl_df.lab.repair_data.imports import BrokenAnnotations
from verl_df.lab.repair_data.options import add_parsers


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 1 and one line on stderr for bad input, one more for each broken annotation."""
    parser = argparse.ArgumentParser(
        prog="verl-df repair-data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_parsers(parser)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except BrokenAnnotations as error:
        lines = [*error.report.broken_lines(), *error.report.lines(), f"error: {error}"]
        print("\n".join(lines), file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
