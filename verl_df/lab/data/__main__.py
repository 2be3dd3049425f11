# SPDX-License-Identifier: Apache-2.0
"""Convert public data sets, and your own images with questions, to verl's multimodal RL parquet.

    verl-df data list
    verl-df data convert geometry3k --out data
    verl-df data convert mathvista --from downloads/MathVista --out data
    verl-df data convert jsonl --from mine.jsonl --name mine --out data
    verl-df data convert jsonl --from preferences.jsonl --name mine --preferred chosen --carry rejected --out data
    verl-df data check data/mine_train.parquet
    verl-df data spans visualprocessbench --out data/steps
    verl-df data visual-entropy data/mine_train.parquet --model MODEL --out data/mine_train_durian.parquet

`convert` writes DIR/SOURCE_SPLIT.parquet, .summary.json and .dropped.jsonl. A conversion that was ended goes on when
the same command is given again. `spans` writes responses whose errors are known, for explain and audit-weights.
"""

import argparse
import re
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.command_line import check_at_least
from verl_df.lab.data.prompts import FORMS
from verl_df.lab.data.sources import OWN, SOURCES, table
from verl_df.lab.data.spans.options import add_span_arguments, run_spans

_DEFAULT = "(default: %(default)s)"


def run(arguments: argparse.Namespace) -> None:
    """Run a command."""
    commands = {"list": lambda _: table(), "convert": _convert, "check": _check, "spans": run_spans}
    commands["visual-entropy"] = _visual_entropy
    print(commands[arguments.command](arguments))


def _check(arguments: argparse.Namespace) -> str:
    from verl_df.lab.data.truths import check_truths  # seconds of imports

    return "\n\n".join(check_truths(path) for path in arguments.files)


def _visual_entropy(arguments: argparse.Namespace) -> str:
    from verl_df.lab.data.visual_entropy import add_visual_entropy  # seconds of imports

    rows, least, largest = add_visual_entropy(arguments.file, arguments.model, arguments.out)
    return f"{arguments.out}: {rows} rows, extra_info.visual_entropy from {least:.3f} to {largest:.3f} nats"


def _convert(arguments: argparse.Namespace) -> str:
    from verl_df.lab.data.convert import Settings, convert  # seconds of imports
    from verl_df.lab.data.own_jsonl import own_source
    from verl_df.lab.data.summary import summary_lines

    own = arguments.source == OWN
    if not own and (arguments.name or arguments.carry or arguments.preferred):
        raise ValueError(f"--name, --carry and --preferred belong to the source {OWN!r}")
    if own and (not arguments.where or not arguments.name):
        raise ValueError(f"{OWN}: --from (your file) and --name (its data_source) must be given")
    if own and arguments.name in SOURCES:
        raise ValueError(f"--name {arguments.name}: the name of a public source; its rows are scored by its own rules")
    source = own_source(arguments.name, arguments.carry, arguments.preferred) if own else SOURCES[arguments.source]
    prompt = arguments.prompt or source.prompt
    settings = Settings(
        source=arguments.source,
        name=source.name,
        where=arguments.where or source.hub,
        revision=arguments.revision,
        split=arguments.split or source.split,
        configs=arguments.config or list(source.configs),
        limit=arguments.limit,
        prompt=prompt,
        instruction=_instruction(arguments, prompt),
        min_side=arguments.min_side,
        carry=arguments.carry,
        preferred=arguments.preferred,
        part_rows=arguments.part_rows,
    )
    for option, value in (("--split", settings.split), ("--name", settings.name)):
        if not re.fullmatch(r"[\w.-]+", value):
            raise ValueError(f"{option} {value!r}: letters, digits, '_', '.' and '-' only; it is part of a file's name")
    check_at_least(1, arguments, "limit", "min_side", "part_rows")
    summary = convert(settings, source, arguments.out)
    written = arguments.out / f"{settings.name}_{settings.split}.parquet"
    return "\n".join([f"{written}: {summary['kept']} rows", *summary_lines(summary)])


def _instruction(arguments: argparse.Namespace, prompt: str) -> str:
    given = arguments.instruction
    if arguments.instruction_file is not None:
        given = arguments.instruction_file.read_text(encoding="utf-8").strip()
    if given is None:
        return ""
    if prompt != "boxed":
        raise ValueError("an instruction belongs to --prompt boxed: a published prompt has its own")
    if not given:
        raise ValueError("the instruction is empty: leave it out for the default")
    return given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("list", help="the sources")
    check = commands.add_parser("check", help="the kinds of a file's ground truths, and those that nothing could match")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="parquet file of verl's RL rows")
    spans = "responses whose wrong characters are known, as rollouts for explain and audit-weights"
    add_span_arguments(commands.add_parser("spans", help=spans))
    entropy = commands.add_parser("visual-entropy", help="a copy with the complexity of each picture, for df.durian")
    entropy.add_argument("file", type=Path, metavar="FILE", help="parquet file of verl's RL rows")
    entropy.add_argument("--model", type=Path, required=True, metavar="DIR", help="Hugging Face folder of the policy")
    entropy.add_argument("--out", type=Path, required=True, metavar="FILE", help="the copy")
    add = commands.add_parser("convert", help="write the rows of a source").add_argument
    add("source", choices=(*SOURCES, OWN), metavar="SOURCE", help="its name, or jsonl for your own file")
    add("--from", dest="where", metavar="WHERE", help="file, folder or hub name (default: the source's on the hub)")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the result")
    add("--split", help="default: see list")
    add("--config", action="append", default=[], help="a config of the source; repeat for more (default: all it needs)")
    add("--revision", help="of the hub's repository (default: the newest)")
    add("--limit", type=int, metavar="N", help="rows to read (default: all)")
    add("--prompt", choices=FORMS, help="the benchmark's own, or ours with a boxed answer (default: see list)")
    words = commands.choices["convert"].add_mutually_exclusive_group()
    words.add_argument("--instruction", metavar="TEXT", help="what a boxed prompt ends with (default: ours)")
    words.add_argument("--instruction-file", type=Path, metavar="FILE", help="the same, in a file")
    add("--min-side", type=int, default=1, metavar="PIXELS", help=f"drop rows with a smaller image {_DEFAULT}")
    add("--part-rows", type=int, default=256, metavar="N", help=f"rows of a row group, written at a time {_DEFAULT}")
    add("--name", help="jsonl: the rows' data_source")
    add("--carry", action="append", default=[], metavar="KEY", help="jsonl: a further key for extra_info; repeat")
    add("--preferred", metavar="KEY", help="jsonl: the key of preferred responses, often chosen, for DF's references")


if __name__ == "__main__":
    sys.exit(cli.main(["data", *sys.argv[1:]]))
