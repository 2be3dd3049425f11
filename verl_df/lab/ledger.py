# SPDX-License-Identifier: Apache-2.0
"""What runs spent: seconds and device-seconds by part, and all runs together.

    verl-df ledger outputs/toy/df_grpo
    verl-df ledger outputs/toy/df_grpo outputs/toy/repair_rl outputs/toy/stage1    DF with its repair model
    verl-df ledger outputs/toy/df_grpo --json

RUN is a run's folder, or its ledger.jsonl. verl_df/ledger/rows.py says what belongs to which part.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_df import cli
from verl_df.lab.markdown import markdown_table
from verl_df.ledger.rows import NAMES, Parts
from verl_df.ledger.spent import Spent, read_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, or its ledger")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> None:
    """Print the totals. Raises: FileNotFoundError, ValueError."""
    spent = {str(one): Spent.of(read_rows(one)) for one in arguments.runs}
    if len(spent) < len(arguments.runs):
        raise ValueError("a run is named twice, and would count twice")
    everything = sum(spent.values(), Spent())
    if arguments.json:
        print(json.dumps(as_json(spent, everything), indent=2))
        return
    print("\n".join(ledger_table(name, one) for name, one in spent.items()), end="")
    if len(spent) > 1:
        print("\n" + ledger_table("all together", everything), end="")


def as_json(spent: Mapping[str, Spent], everything: Spent) -> dict[str, Any]:
    """Totals of each run and of all."""
    return {"runs": {name: _content(one) for name, one in spent.items()}, "all": _content(everything)}


def _content(spent: Spent) -> dict[str, Any]:
    kinds = {"seconds": spent.seconds, "device_seconds": spent.device_seconds}
    parts = {kind: {name: getattr(value, name) for name in NAMES} for kind, value in kinds.items()}
    return {"steps": spent.steps, **{kind: {**parts[kind], "total": kinds[kind].total} for kind in kinds}}


def ledger_table(name: str, spent: Spent) -> str:
    """A table of one run."""

    def cells(label: str, seconds: float, of_devices: float) -> tuple[str, ...]:
        return label, f"{seconds:.1f}", _share(seconds, spent.seconds), f"{of_devices:.1f}"

    rows = [
        cells(part.replace("_", " "), getattr(spent.seconds, part), getattr(spent.device_seconds, part))
        for part in NAMES
    ]
    header = (f"{name}: {spent.steps} steps", "seconds", "share", "device-seconds")
    return markdown_table(header, [*rows, cells("total", spent.seconds.total, spent.device_seconds.total)])


def _share(part: float, whole: Parts) -> str:
    return f"{part / whole.total:.1%}" if whole.total else "-"


if __name__ == "__main__":
    sys.exit(cli.main(["ledger", *sys.argv[1:]]))
