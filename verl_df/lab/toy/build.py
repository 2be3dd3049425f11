# SPDX-License-Identifier: Apache-2.0
"""The stages that build the toy world, and the stamps that let a stage be skipped when nothing changed."""

import hashlib
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from verl_df.lab.toy.settings import ToySettings

PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stage:
    """What the outputs of a stage depend on; `stages.py` does the work.

    Attributes:
        inputs, outputs: files, relative to the toy's folder.
        settings: fields of `ToySettings`, or a dotted part of one.
        code: source files, relative to the package `verl_df`.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: tuple[str, ...]
    code: tuple[str, ...]


_WEIGHTS = "model.safetensors"
_INIT, _POLICY, _REPAIR = (f"{name}/{_WEIGHTS}" for name in ("init", "policy", "repair"))
_SFT = ("lab/toy/sft.py",)
_WORLD = tuple(f"lab/toy/{name}.py" for name in ("world", "text", "chain", "questions"))
_PROMPT = ("prompts/__init__.py", "prompts/repair.txt")
_ROWS = (*_WORLD, "lab/toy/data.py")
_SAMPLING = (
    *_ROWS,
    *_PROMPT,
    "lab/generation.py",
    *(f"lab/toy/{name}.py" for name in ("sampling", "truth", "verdict", "repair_data")),
)
STAGES = {
    "model": Stage(
        (), (_INIT,), ("seed", "kind", "model"), (*_WORLD, *_PROMPT, "lab/toy/tokenizer.py", "lab/toy/model.py")
    ),
    "data": Stage(
        (),
        ("data/train.parquet", "data/val.parquet"),
        ("seed", "kind", "picture", "rl_train_rows", "rl_val_rows"),
        _ROWS,
    ),
    "clips": Stage(
        (),
        ("clips/train.parquet", "clips/val.parquet"),
        ("seed", "kind", "picture", "clip", "rl_train_rows", "rl_val_rows"),
        (*_ROWS, "lab/toy/clips.py"),
    ),
    "policy-data": Stage((), ("sft/policy.parquet",), ("seed", "kind", "picture", "annotator", "policy.rows"), _ROWS),
    "policy": Stage((_INIT, "sft/policy.parquet"), (_POLICY,), ("policy",), _SFT),
    "repair-data": Stage(
        (_POLICY,), ("sft/repair.parquet",), ("seed", "kind", "picture", "repair_set", "repair.rows"), _SAMPLING
    ),
    "repair-tasks": Stage(
        (_POLICY,),
        ("repair_tasks/train.parquet", "repair_tasks/val.parquet"),
        ("seed", "kind", "picture", "repair_tasks"),
        _SAMPLING,
    ),
    "repair": Stage((_POLICY, "sft/repair.parquet"), (_REPAIR,), ("repair",), _SFT),
    "stage1": Stage(
        (_REPAIR, "repair_tasks/train.parquet"),
        (f"stage1/{_WEIGHTS}",),
        ("seed", "stage1", "overlooked_share"),
        (*_ROWS, *_PROMPT, *_SFT, "lab/toy/truth.py", "lab/toy/careless.py"),
    ),
    "evaluate": Stage(
        (_POLICY, _REPAIR),
        ("evaluation.json",),
        ("seed", "kind", "picture", "repair_set", "rl_val_rows"),
        (*_SAMPLING, "lab/toy/evaluate.py"),
    ),
}
# What policy training needs; `stage1` is for those who train a repair model further, `clips` are other data.
WORLD = tuple(name for name in STAGES if name not in ("stage1", "clips"))


def build_stage(name: str, out: Path, settings: ToySettings) -> str:
    """Run one stage, or skip it when its outputs are there and its stamp fits. Returns a line for the user.

    Raises:
        KeyError: if `name` is no stage.
        FileNotFoundError: if an input is missing; the message names the stage that writes it.
    """
    stage = STAGES[name]
    for path in stage.inputs:
        if not (out / path).is_file():
            world = "" if settings.kind == "count" else f" --world {settings.kind}"
            raise FileNotFoundError(f"{out / path} is missing: run `verl-df toy {_writer(path)}{world} --out {out}`")
    stamp, expected = out / ".stamps" / name, _stamp(stage, out, settings)
    if all((out / path).is_file() for path in stage.outputs) and stamp.is_file() and stamp.read_text() == expected:
        return "up to date"
    _be_frugal()
    from verl_df.lab.toy.stages import RUN  # seconds of imports: a stage that is up to date says so at once

    result = RUN[name](out, settings)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(expected)
    return result


def _be_frugal() -> None:
    import torch
    import transformers

    # Two threads gain little on models this small, and next to another busy process they are ten times slower.
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()  # it would show the loading of 57 small tensors, model by model


def _writer(path: str) -> str:
    return next(name for name, stage in STAGES.items() if path in stage.outputs)


def _stamp(stage: Stage, out: Path, settings: ToySettings) -> str:
    """Hash of all that a stage's outputs depend on: its settings, its code and its input files."""
    digest = hashlib.sha256(repr(attrgetter(*stage.settings)(settings)).encode())
    for path in [*(PACKAGE / name for name in stage.code), *(out / name for name in stage.inputs)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
