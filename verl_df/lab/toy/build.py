# SPDX-License-Identifier: Apache-2.0
"""The stages that build the toy world, and the stamps that let a stage be skipped when nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verl_df.lab.toy.settings import ToySettings

# The modules that do the work are imported by the stage that runs: importing transformers takes seconds, and a stage
# that is up to date should say so at once.
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stage:
    """One stage of the build.

    Attributes:
        run: does the work in the toy's folder; returns a line for the user.
        inputs, outputs: files, relative to the toy's folder.
        settings: the part of the settings that the outputs depend on.
        code: source files that the outputs depend on, relative to the package `verl_df`.
    """

    run: Callable[[Path, ToySettings], str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Callable[[ToySettings], object]
    code: tuple[str, ...]


def _model(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import model

    parameters = model.save_model(out / "init", settings.model, settings.seed)
    return f"{parameters / 1e6:.2f} million random parameters"


def _data(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import data

    sizes = data.write_rl_data(out / "data", settings)
    return f"{sizes['train']} RL rows, {sizes['val']} held out"


def _policy_data(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import data

    return f"{data.write_policy_sft_data(out / 'sft/policy.parquet', settings)} SFT rows"


def _policy(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import sft

    log = out / "logs/policy_sft.log"
    sft.run_sft(out / "init", out / "sft/policy.parquet", out / "policy", log, settings.policy)
    return f"trained, log in {log}"


def _repair_data(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import repair_data
    from verl_df.lab.toy.sampling import Sampler

    rows = repair_data.write_repair_data(out / "sft/repair.parquet", Sampler(out / "policy"), settings)
    return f"{rows} repairs of real wrong responses"


def _repair_tasks(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import repair_data
    from verl_df.lab.toy.sampling import Sampler

    sizes = repair_data.write_repair_tasks(out / "repair_tasks", Sampler(out / "policy"), settings)
    return f"{sizes['train']} wrong responses with a right sibling, {sizes['val']} held out"


def _repair(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import sft

    log = out / "logs/repair_sft.log"
    # The repair model starts from the policy, φ ← θ, so that repairs stay in the policy's distribution.
    sft.run_sft(out / "policy", out / "sft/repair.parquet", out / "repair", log, settings.repair)
    return f"trained, log in {log}"


def _stage1(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import careless, sft

    rows, log = out / "sft/stage1.parquet", out / "logs/stage1_sft.log"
    count, overlooked = careless.write_stage1_data(out / "repair_tasks/train.parquet", rows, settings)
    sft.run_sft(out / "repair", rows, out / "stage1", log, settings.stage1)
    return f"trained on {count} repairs, {overlooked} of them left as wrong as they were, log in {log}"


def _evaluate(out: Path, settings: ToySettings) -> str:
    from verl_df.lab.toy import evaluate

    table = evaluate.write_evaluation(out / "evaluation.json", out / "policy", out / "repair", settings)
    return f"figures of both models\n\n{table}\n"


_WEIGHTS = "model.safetensors"
_INIT, _POLICY, _REPAIR = (f"{name}/{_WEIGHTS}" for name in ("init", "policy", "repair"))
_WORLD = ("lab/toy/world.py", "lab/toy/text.py")
_PROMPT = ("prompts/__init__.py", "prompts/repair.txt")
_SAMPLING = (
    *_WORLD,
    *_PROMPT,
    "lab/toy/data.py",
    "lab/toy/sampling.py",
    "lab/toy/verdict.py",
    "lab/toy/repair_data.py",
)
STAGES = {
    "model": Stage(
        _model,
        (),
        (_INIT,),
        lambda all_: (all_.seed, all_.model),
        (*_WORLD, *_PROMPT, "lab/toy/tokenizer.py", "lab/toy/model.py"),
    ),
    "data": Stage(
        _data,
        (),
        ("data/train.parquet", "data/val.parquet"),
        lambda all_: (all_.seed, all_.picture, all_.rl_train_rows, all_.rl_val_rows),
        (*_WORLD, "lab/toy/data.py"),
    ),
    "policy-data": Stage(
        _policy_data,
        (),
        ("sft/policy.parquet",),
        lambda all_: (all_.seed, all_.picture, all_.annotator, all_.policy.rows),
        (*_WORLD, "lab/toy/data.py"),
    ),
    "policy": Stage(_policy, (_INIT, "sft/policy.parquet"), (_POLICY,), lambda all_: all_.policy, ("lab/toy/sft.py",)),
    "repair-data": Stage(
        _repair_data,
        (_POLICY,),
        ("sft/repair.parquet",),
        lambda all_: (all_.seed, all_.picture, all_.repair_set, all_.repair.rows),
        _SAMPLING,
    ),
    "repair-tasks": Stage(
        _repair_tasks,
        (_POLICY,),
        ("repair_tasks/train.parquet", "repair_tasks/val.parquet"),
        lambda all_: (all_.seed, all_.picture, all_.repair_tasks),
        _SAMPLING,
    ),
    "repair": Stage(
        _repair, (_POLICY, "sft/repair.parquet"), (_REPAIR,), lambda all_: all_.repair, ("lab/toy/sft.py",)
    ),
    "stage1": Stage(
        _stage1,
        (_REPAIR, "repair_tasks/train.parquet"),
        (f"stage1/{_WEIGHTS}",),
        lambda all_: (all_.seed, all_.stage1, all_.overlooked_share),
        (*_WORLD, *_PROMPT, "lab/toy/sft.py", "lab/toy/truth.py", "lab/toy/careless.py"),
    ),
    "evaluate": Stage(
        _evaluate,
        (_POLICY, _REPAIR),
        ("evaluation.json",),
        lambda all_: (all_.seed, all_.picture, all_.repair_set, all_.rl_val_rows),
        (*_SAMPLING, "lab/toy/truth.py", "lab/toy/evaluate.py"),
    ),
}
# What policy training needs; `stage1` is for those who train a repair model further.
WORLD = tuple(name for name in STAGES if name != "stage1")


def build_stage(name: str, out: Path, settings: ToySettings) -> str:
    """Run one stage, or skip it when its outputs are there and its stamp fits. Returns a line for the user.

    Raises:
        KeyError: if `name` is no stage.
        FileNotFoundError: if an input is missing; the message names the stage that writes it.
    """
    stage = STAGES[name]
    for path in stage.inputs:
        if not (out / path).is_file():
            raise FileNotFoundError(f"{out / path} is missing: run `verl-df toy {_writer(path)} --out {out}`")
    stamp, expected = out / ".stamps" / name, _stamp(stage, out, settings)
    if all((out / path).is_file() for path in stage.outputs) and stamp.is_file() and stamp.read_text() == expected:
        return "up to date"
    _be_frugal()
    said = stage.run(out, settings)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(expected)
    return said


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
    digest = hashlib.sha256(repr(stage.settings(settings)).encode())
    for path in [*(PACKAGE / name for name in stage.code), *(out / name for name in stage.inputs)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
