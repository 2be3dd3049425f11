# SPDX-License-Identifier: Apache-2.0
"""What runs spent: seconds and device-seconds by part, all runs together, and the peaks of each run's memory.

    verl-df ledger outputs/toy/df_grpo
    verl-df ledger outputs/toy/df_grpo outputs/toy/repair_rl outputs/toy/stage1    DF with its repair model
    verl-df ledger outputs/toy/df_grpo --json

RUN is a run's folder, or its ledger.jsonl. verl_df/ledger/rows.py says what belongs to which part, and
verl_df/ledger/memory.py what is measured of memory.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_df import cli
from verl_df.lab.markdown import markdown_table
from verl_df.ledger.memory import KINDS, PHASES, PREFIX, memory_metrics, most
from verl_df.ledger.rows import NAMES, Parts
from verl_df.ledger.spent import Spent, read_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, or its ledger")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> None:
    """Print the totals. Raises: FileNotFoundError, ValueError."""
    rows = {str(one): read_rows(one) for one in arguments.runs}
    spent = {name: Spent.of(own) for name, own in rows.items()}
    memory = {name: most(memory_metrics(row.memory) for row in own) for name, own in rows.items()}
    if len(spent) < len(arguments.runs):
        raise ValueError("a run is named twice, and would count twice")
    everything = sum(spent.values(), Spent())
    if arguments.json:
        print(json.dumps(as_json(spent, everything, memory), indent=2))
        return
    tables = [[ledger_table(name, one), *memory_tables(memory[name])] for name, one in spent.items()]
    print("\n".join(table for of_run in tables for table in of_run), end="")
    if len(spent) > 1:
        print("\n" + ledger_table("all together", everything), end="")


def as_json(spent: Mapping[str, Spent], everything: Spent, memory: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Totals of each run and of all, and each run's peaks of memory by metric, in GiB."""
    runs = {name: {**_content(one), "memory_gib": memory[name]} for name, one in spent.items()}
    return {"runs": runs, "all": _content(everything)}


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


def memory_tables(peaks: Mapping[str, float]) -> list[str]:
    """Tables of host and device memory; none where a run did not measure it.

    Args:
        peaks: of the run, by metric, in GiB.
    """
    tables = []
    for title, prefix in (("host memory, GiB", PREFIX), ("device memory, GiB", f"{PREFIX}device/")):
        kinds = [kind for kind in (*KINDS, "total") if f"{prefix}{kind}" in peaks]
        phases = [phase for phase in PHASES if any(f"{prefix}{kind}/{phase}" in peaks for kind in kinds)]

        def cell(name: str) -> str:
            return f"{peaks[name]:.2f}" if name in peaks else "-"

        rows = [
            (kind.replace("_", " "), *(cell(f"{prefix}{kind}{of}") for of in ("", *(f"/{phase}" for phase in phases))))
            for kind in kinds
        ]
        if rows:
            header = (f"peak of {title}", "step", *(phase.replace("_", " ") for phase in phases))
            tables.append(markdown_table(header, rows))
    return tables


def _share(part: float, whole: Parts) -> str:
    return f"{part / whole.total:.1%}" if whole.total else "-"


if __name__ == "__main__":
    sys.exit(cli.main(["ledger", *sys.argv[1:]]))
