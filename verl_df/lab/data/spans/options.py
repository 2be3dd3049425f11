# SPDX-License-Identifier: Apache-2.0
"""`verl-df data spans`: its options, and what it prints."""

import argparse
from pathlib import Path

from verl_df.lab.command_line import check_at_least
from verl_df.lab.data.spans import vicrit, visualprocessbench
from verl_df.lab.data.summary import summary_lines

SPAN_SOURCES = {source.name: source for source in (*vicrit.SOURCES, *visualprocessbench.SOURCES)}


def add_span_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("source", choices=tuple(SPAN_SOURCES), help="the data set")
    add("--from", dest="where", metavar="WHERE", help="file, folder or hub name (default: the source's on the hub)")
    add("--images", metavar="DIR", help="folder of the pictures that rows name by path (default: that of the file)")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the result")
    add("--limit", type=int, metavar="N", help="rows to read (default: all)")
    add("--revision", help="of the hub's repository (default: the newest)")
    add("--no-right", action="store_true", help="leave out right responses, which a repair model would be shown")


def run_spans(arguments: argparse.Namespace) -> str:
    """Convert, and say what was written and what can be done with it."""
    from verl_df.lab.data.spans.convert import SpanSettings, convert_spans  # seconds of imports

    check_at_least(1, arguments, "limit")
    if arguments.images is not None and not Path(arguments.images).is_dir():
        raise ValueError(f"--images {arguments.images}: no such folder")
    source = SPAN_SOURCES[arguments.source]
    settings = SpanSettings(
        where=arguments.where or source.hub,
        revision=arguments.revision,
        images=arguments.images,
        limit=arguments.limit,
        right=not arguments.no_right,
    )
    summary = convert_spans(source, settings, arguments.out)
    wrong = summary["responses"] - summary["right"]
    return "\n".join(
        [
            f"{arguments.out / source.name}.jsonl: {summary['right']} right and {wrong} wrong responses, of which "
            f"{summary['wrong_share']:.1%} of the characters are wrong",
            *summary_lines(summary),
            f"licence: {source.licence}",
            f"repairs are judged with --reward-path {source.reward}",
        ]
    )
