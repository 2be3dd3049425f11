# SPDX-License-Identifier: Apache-2.0
"""What the stages of the build do in the toy's folder. Each returns a line for the user."""

from collections.abc import Callable
from pathlib import Path

from verl_df.lab.toy import careless, clips, data, evaluate, model, repair_data, sft
from verl_df.lab.toy.sampling import Sampler
from verl_df.lab.toy.settings import SftSettings, ToySettings


def _model(out: Path, settings: ToySettings) -> str:
    parameters = model.save_model(out / "init", settings.model, settings.seed, settings.kind)
    return f"{parameters / 1e6:.2f} million random parameters"


def _data(out: Path, settings: ToySettings) -> str:
    sizes = data.write_rl_data(out / "data", settings)
    return f"{sizes['train']} RL rows, {sizes['val']} held out"


def _clips(out: Path, settings: ToySettings) -> str:
    sizes = clips.write_clip_data(out / "clips", settings)
    return f"{sizes['train']} RL rows with a clip each, {sizes['val']} held out"


def _policy_data(out: Path, settings: ToySettings) -> str:
    return f"{data.write_policy_sft_data(out / 'sft/policy.parquet', settings)} SFT rows"


def _policy(out: Path, settings: ToySettings) -> str:
    return f"trained, log in {_train(out, 'init', 'policy', settings.policy)}"


def _repair_data(out: Path, settings: ToySettings) -> str:
    rows = repair_data.write_repair_data(out / "sft/repair.parquet", _policy_sampler(out, settings), settings)
    return f"{rows} repairs of real wrong responses"


def _repair_tasks(out: Path, settings: ToySettings) -> str:
    sizes = repair_data.write_repair_tasks(out / "repair_tasks", _policy_sampler(out, settings), settings)
    return f"{sizes['train']} wrong responses with a right sibling, {sizes['val']} held out"


def _repair(out: Path, settings: ToySettings) -> str:
    # The repair model starts from the policy, φ ← θ, so that repairs stay in the policy's distribution.
    return f"trained, log in {_train(out, 'policy', 'repair', settings.repair)}"


def _stage1(out: Path, settings: ToySettings) -> str:
    tasks = out / "repair_tasks/train.parquet"
    count, overlooked = careless.write_stage1_data(tasks, out / "sft/stage1.parquet", settings)
    log = _train(out, "repair", "stage1", settings.stage1)
    return f"trained on {count} repairs, {overlooked} of them left as wrong as they were, log in {log}"


def _evaluate(out: Path, settings: ToySettings) -> str:
    table = evaluate.write_evaluation(out / "evaluation.json", out / "policy", out / "repair", settings)
    return f"figures of both models\n\n{table}\n"


def _policy_sampler(out: Path, settings: ToySettings) -> Sampler:
    return Sampler(out / "policy", settings.response_tokens)


def _train(out: Path, start: str, name: str, settings: SftSettings) -> Path:
    log = out / f"logs/{name}_sft.log"
    sft.run_sft(out / start, out / f"sft/{name}.parquet", out / name, log, settings)
    return log


RUN: dict[str, Callable[[Path, ToySettings], str]] = {
    "model": _model,
    "data": _data,
    "clips": _clips,
    "policy-data": _policy_data,
    "policy": _policy,
    "repair-data": _repair_data,
    "repair-tasks": _repair_tasks,
    "repair": _repair,
    "stage1": _stage1,
    "evaluate": _evaluate,
}
