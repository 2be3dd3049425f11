# SPDX-License-Identifier: Apache-2.0
"""What the auditor found in a run, and whether people agree with it.

    verl-df audit report LOG [--labels labels.jsonl] [--out DIR]
    verl-df audit label LOG --out labels.jsonl [--sample 100]

`report` prints the hit rate, the failure modes and the failures of the auditor; with labels also the agreement.
`label` shows repairs without the auditor's verdict and asks for yours; stop and go on at any time.
"""

import argparse
import os
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.audit.labelling import Terminal, label_items
from verl_df.lab.audit.labels import read_log
from verl_df.lab.audit.report import write_report
from verl_df.lab.audit.sample import draw_items


def run(arguments: argparse.Namespace) -> None:
    """Run a command."""
    if arguments.command == "report":
        print(write_report(arguments.log, arguments.labels, arguments.out))
    else:
        _label(arguments)


def _label(arguments: argparse.Namespace) -> None:
    records = read_log(arguments.log)
    share = None if arguments.sample is None else arguments.flagged_share
    items = draw_items(records, size=arguments.sample, flagged_share=share, seed=arguments.seed)
    terminal = Terminal(sys.stdin, sys.stdout, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    left = label_items(items, arguments.out, terminal, show_verdict=arguments.show_verdict)
    print(f"\n{len(items) - left} of {len(items)} answered, in {arguments.out}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="hit rate, failure modes, agreement")
    report.add_argument("log", type=Path, help="an audit log, or the folder of a run")
    report.add_argument("--labels", type=Path, help="people's answers, from `label`")
    report.add_argument("--out", type=Path, help="folder for audit.json and audit.md (default: print only)")
    label = commands.add_parser("label", help="judge repairs by hand")
    label.add_argument("log", type=Path, help="an audit log, or the folder of a run")
    label.add_argument("--out", type=Path, required=True, help="answers, appended to; go on where you stopped")
    label.add_argument("--sample", type=int, help="audits to judge (default: all with a verdict)")
    label.add_argument(
        "--flagged-share",
        type=float,
        default=0.5,
        help="share of flagged audits in --sample; the report undoes it (default: %(default)s)",
    )
    label.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    label.add_argument("--show-verdict", action="store_true", help="show what the auditor said (default: blind)")


if __name__ == "__main__":
    sys.exit(cli.main(["audit", *sys.argv[1:]]))
