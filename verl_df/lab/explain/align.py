# SPDX-License-Identifier: Apache-2.0
"""Align a wrong response and its repair: which tokens differ, their masks and their gates.

    verl-df align wrong.txt repair.txt
    verl-df align --text "3 x 4 = 14 cm" "3 x 4 = 12 cm" --kind soft
    verl-df align wrong.txt repair.txt --tokenizer Qwen/Qwen2.5-VL-3B-Instruct --level step
    verl-df align wrong.json repair.json --json

A file is text in UTF-8, or token ids: a JSON list of whole numbers in a file that ends in .json. docs/explain.md
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verl_df import cli
from verl_df.io.json_text import parse_json
from verl_df.lab.explain.draw import LEGEND, coloured, draw
from verl_df.lab.explain.options import add_gate_options, alignment_of, check_steps, gate_of, steps_of
from verl_df.lab.explain.units import Numbers, Units, open_units
from verl_df.method.alignment import Alignment, align
from verl_df.method.gates import GateConfig, build_gate

Given = str | list[int]


@dataclass(frozen=True)
class Response:
    """One side. mask: m or m′, 0 or 1; gate: g_t in [0, 1]. One of each per token."""

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    mask: tuple[int, ...]
    gate: tuple[float, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("error", metavar="WRONG", help="file of the wrong response y")
    parser.add_argument("repair", metavar="REPAIR", help="file of the repaired response ŷ")
    parser.add_argument("--text", action="store_true", help="WRONG and REPAIR are the responses, not files")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    add_gate_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the alignment."""
    gate, config = gate_of(arguments), alignment_of(arguments)
    names = (arguments.error, arguments.repair)
    given = names if arguments.text else tuple(read_response(Path(name)) for name in names)
    ids_only = all(isinstance(one, list) for one in given)
    check_steps(gate, arguments.tokenizer, ids_only=ids_only)
    units = open_units(arguments.tokenizer, arguments.split, ids_only=ids_only)
    places = ("the wrong response", "the repair") if arguments.text else names
    y, y_hat = (_ids(one, units, place) for one, place in zip(given, places, strict=True))
    alignment = align(y, y_hat, method=config.method, backend=config.backend)
    error = _response(y, alignment.error_mask, units, gate)
    repair = _response(y_hat, alignment.repair_mask, units, gate)
    if arguments.json:
        real_ids = arguments.tokenizer is not None or isinstance(units, Numbers)
        print(json.dumps(_as_json(error, repair, alignment, real_ids=real_ids)))
        return
    print(f"{describe(alignment)}\n{LEGEND}\n\n{draw(error, repair, alignment, colour=coloured(sys.stdout))}")


def read_response(path: Path) -> Given:
    """A text, or the token ids of a .json file. Raises: ValueError with file and line for anything else."""
    content = path.read_bytes()
    try:
        if path.suffix != ".json":
            return content.decode("utf-8-sig")
        ids = parse_json(content)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 ({error.reason})") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise ValueError(f"{path}: token ids are a JSON list of whole numbers; a text has another file ending")
    return ids


def describe(alignment: Alignment) -> str:
    """The figures of an alignment in one line."""
    kinds = [edit.kind for edit in alignment.edits]
    counts = ", ".join(
        f"{kinds.count(kind)} {name}"
        for kind, name in (("replace", "replaced"), ("insert", "inserted"), ("delete", "deleted"))
    )
    marked = " and ".join(
        f"{int(mask.sum())} of {len(mask)} tokens of {name}"
        for name, mask in (("y", alignment.error_mask), ("ŷ", alignment.repair_mask))
    )
    return f"edit distance {alignment.distance} ({alignment.edit_ratio:.1%}): {counts}; marked: {marked}"


def _ids(given: Given, units: Units, place: str) -> tuple[int, ...]:
    try:
        if isinstance(given, str):
            return units.encode(given)
        units.check(given)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return tuple(given)


def _response(token_ids: tuple[int, ...], mask: np.ndarray, units: Units, config: GateConfig) -> Response:
    gate = build_gate(mask, config, step_ids=steps_of(token_ids, units, config))
    texts = tuple(units.texts(token_ids))
    return Response(token_ids, texts, tuple(map(int, mask)), tuple(round(float(one), 4) for one in gate))


def _as_json(error: Response, repair: Response, alignment: Alignment, *, real_ids: bool) -> dict[str, Any]:
    """Numbers of words and characters are our own and stay out."""
    hidden = () if real_ids else ("token_ids",)
    sides = {
        name: {key: value for key, value in vars(side).items() if key not in hidden}
        for name, side in (("error", error), ("repair", repair))
    }
    edits = [edit._asdict() for edit in alignment.edits]
    return {"distance": alignment.distance, "edit_ratio": alignment.edit_ratio, "edits": edits, **sides}


if __name__ == "__main__":
    sys.exit(cli.main(["align", *sys.argv[1:]]))
