#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the pages and the trainers' YAML files say of keys, defaults and objectives, from where each is defined.

    python scripts/docs_tables.py            # write
    python scripts/docs_tables.py --check    # exit code 1 and the names of the files that are out of date

The hardware table of docs/models.md is the ledger of the dry run (`verl-df check`) of each launch script of DF.

A key is described in the docstring of its dataclass (`Attributes:`), an objective in its file of
`recipe/df/config/objective`. The text goes between the lines `begin generated: NAME` and `end generated`.
"""

import argparse
import inspect
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from verl_df.judges.kinds import ALL_KINDS
from verl_df.lab.dry_run.engine import GIB
from verl_df.lab.dry_run.run import sums_of
from verl_df.lab.markdown import markdown_table
from verl_df.settings.config import DFConfig
from verl_df.settings.objectives import LOSSES, Objective, load_objectives
from verl_df.settings.repair_config import RepairTrainingConfig

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 120


@dataclass(frozen=True)
class Key:
    """A key of a `df:` block.

    Attributes:
        path: dotted, from `df` on.
        default: its value, or a dataclass where the key is a block.
        note: what it means.
    """

    path: str
    default: Any
    note: str

    @property
    def is_block(self) -> bool:
        return is_dataclass(self.default)


def attribute_notes(cls: type) -> dict[str, str]:
    """The section `Attributes:` of a docstring and of those of its bases: name to text, continuation lines joined."""
    notes: dict[str, str] = {}
    for kind in reversed(cls.__mro__):
        section = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")[2].split("\n\n")[0]
        entries = re.split(r"^    (?=\w)", section, flags=re.MULTILINE)[1:]
        notes |= {name: " ".join(text.split()) for name, _, text in (entry.partition(":") for entry in entries)}
    return notes


def keys_of(block: Any, path: str = "df") -> Iterator[Key]:
    """The keys of a dataclass, each block followed by its own.

    Raises:
        ValueError: a key that its dataclass does not describe.
    """
    notes = attribute_notes(type(block))
    for item in fields(block):
        default = getattr(block, item.name)
        summary = (inspect.getdoc(type(default)) or "").splitlines()[0] if is_dataclass(default) else ""
        note = notes.get(item.name, summary)
        if not note:
            raise ValueError(f"{type(block).__name__}.{item.name}: describe it under `Attributes:`")
        yield Key(f"{path}.{item.name}", default, note)
        if is_dataclass(default):
            yield from keys_of(default, f"{path}.{item.name}")


def as_yaml(value: Any) -> str:
    value = value.value if isinstance(value, Enum) else value
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


def key_table(block: Any) -> str:
    """One row a key; a block of a class that was described before is one row."""
    described: dict[type, str] = {}
    rows, closed = [], "/"
    for key in keys_of(block):
        if key.path.startswith(closed):
            continue
        if not key.is_block:
            rows.append((f"`{key.path}`", f"`{as_yaml(key.default)}`", key.note))
        elif type(key.default) in described:
            closed = f"{key.path}."
            rows.append((f"`{closed}*`", "", f"{key.note} Keys as `{described[type(key.default)]}.*`."))
        else:
            described[type(key.default)] = key.path
    return markdown_table(("key", "default", "meaning"), rows)


def yaml_block(block: Any) -> str:
    """The block `df:` with its defaults, each key under its explanation."""
    lines = ["df:"]
    for key in keys_of(block):
        depth = key.path.count(".")
        indent = "  " * depth
        lines += [""] * (depth == 1 and len(lines) > 1)
        lines += textwrap.wrap(key.note, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        name = key.path.rpartition(".")[2]
        lines.append(f"{indent}{name}:" if key.is_block else f"{indent}{name}: {as_yaml(key.default)}")
    return "\n".join(lines) + "\n"


def objective_table() -> str:
    header = ("objective", "algorithm", "estimator", "loss", "ratio", "clip", "aggregation", "group mode", "equations")
    return markdown_table(header, [_objective_cells(one) for one in load_objectives().values()])


def _objective_cells(one: Objective) -> Sequence[str]:
    figures = ", ".join(f"{key.removeprefix('clip_ratio_')} {value:g}" for key, value in one.clip.items())
    return (
        f"[`{one.name}`](config/objective/{one.name}.yaml)",
        one.title,
        f"`{one.base_estimator}` × g",
        f"`{one.base_loss}`",
        one.ratio,
        LOSSES[one.base_loss] + (figures and f" ({figures})"),
        f"`{one.aggregation}`",
        f"`{one.mode}`",
        one.equations,
    )


def kind_sections() -> str:
    """Each kind of the judge: what it says of itself, and its examples."""
    return "\n".join(_kind_section(kind) for kind in ALL_KINDS)


def _kind_section(kind: ModuleType) -> str:
    summary, _, body = (inspect.getdoc(kind) or "").partition("\n\n")
    text = " ".join(body.split()).replace("\\", "\\\\").replace("<", "&lt;")
    said = re.sub(r" ?(Recognises|Compares|Refuses): ", r"\n- **\1**: ", text)
    rows = [
        (_code(example.truth) + (example.choices and f" of {', '.join(map(_code, example.choices))}" or ""), *answers)
        for example in kind.EXAMPLES
        for answers in [[", ".join(map(_code, given)) for given in (example.right, example.wrong)]]
    ]
    return f"### {kind.NAME.capitalize()}\n\n{summary}\n{said}\n\n{markdown_table(('truth', 'right', 'wrong'), rows)}"


def _code(text: str) -> str:
    return f"`{text}`" if text else "nothing"


def hardware_table() -> str:
    """The ledgers of DF's launch scripts on cards of 80 GB."""
    scripts = sorted((ROOT / "examples").glob("df_*/run_*.sh"))
    header = (
        "script",
        "GPUs",
        "weights of an engine",
        "sequences at a time: policy, repairs",
        "update: states + the rest",
        "fullest a GPU gets, in",
        "a node: engines + states + processes",
    )
    return markdown_table(header, [_hardware_cells(script) for script in scripts])


def _hardware_cells(script: Path) -> Sequence[str]:
    """Numbers are GiB of a GPU, the last ones of a node."""
    with tempfile.TemporaryDirectory() as folder:
        show = Path(folder) / "show"
        show.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
        show.chmod(0o755)
        environment = {**os.environ, "PYTHON": str(show), "DRY_RUN": "1"}
        printed = subprocess.run(["bash", script], env=environment, check=True, capture_output=True, text=True).stdout
    _, _, _, module, *arguments = printed.splitlines()  # -m verl_df check MODULE ...
    run, _, sums = sums_of(module, arguments, gpu=80)
    phase, most = max(sums.phases.items(), key=lambda item: item[1])
    engines = [(sums.policy, run.policy), (sums.repair, run.repair)]
    sequences = [int(memory.room / memory.token / engine.wanted) for memory, engine in engines if memory and engine]
    update = sums.update
    return (
        f"`{script.parent.name.removesuffix('_trainer')}/{script.stem.removesuffix('_fsdp')}`",
        str(run.gpus),
        f"{sums.policy.weights / GIB:.1f}",
        ", ".join(map(str, sequences)),
        f"{update.states / GIB:.1f} + {(update.total - update.states) / GIB:.1f}",
        f"{most / GIB:.1f}, {phase}",
        f"{sums.engines / GIB:.0f} + {sums.states / GIB:.0f} + {sums.processes / GIB:.0f} = {sums.host / GIB:.0f}",
    )


def generated() -> dict[str, dict[str, str]]:
    """File -> name of a place in it -> what belongs there."""
    policy, repair = DFConfig(), RepairTrainingConfig()
    return {
        "recipe/df/README.md": {"objectives": objective_table(), "keys": key_table(policy)},
        "docs/repair_model.md": {"keys": key_table(repair)},
        "docs/judge.md": {"kinds": kind_sections()},
        "docs/models.md": {"hardware": hardware_table()},
        "recipe/df/config/df_trainer.yaml": {"df": yaml_block(policy)},
        "recipe/df/config/repair_trainer.yaml": {"df": yaml_block(repair)},
    }


def filled(text: str, contents: dict[str, str], file: str) -> str:
    """`text` with each of `contents` in its place.

    Raises:
        ValueError: `file` has no such place.
    """
    for name, content in contents.items():
        pattern = re.compile(rf"(^[^\n]*begin generated: {name}\b[^\n]*\n).*?(^[^\n]*end generated)", re.S | re.M)
        text, places = pattern.subn(lambda match, new=content: match[1] + new + match[2], text)
        if places != 1:
            raise ValueError(f"{file}: {places} places 'begin generated: {name}', expected one")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a file is out of date")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the files (default: this project)")
    options = parser.parse_args()
    stale = []
    for file, contents in generated().items():
        path = options.root / file
        text = path.read_text(encoding="utf-8")
        new = filled(text, contents, file)
        if new != text:
            stale.append(file)
            if not options.check:
                path.write_text(new, encoding="utf-8")
    for file in stale:
        print(f"{file}: out of date, run python scripts/docs_tables.py" if options.check else f"{file}: written")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
