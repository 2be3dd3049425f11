# SPDX-License-Identifier: Apache-2.0
"""Check a run without starting it."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from transformers.utils.logging import disable_progress_bar
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config

from recipe.df import main_df, main_repair
from recipe.df.main_df import CONFIG_FOLDER
from verl_df import plugin
from verl_df.lab.dry_run.memory import Ledger, check_memory, check_sft_memory, ledger
from verl_df.lab.dry_run.models import ModelSizes, model_sizes
from verl_df.lab.dry_run.report import describe, describe_sft
from verl_df.lab.dry_run.sizes import RunSizes, check_sizes, run_sizes, sft_pass
from verl_df.lab.dry_run.stand_ins import replace_data, replace_models
from verl_df.settings.checks import check_data_files, check_run
from verl_df.settings.config import ConfigError
from verl_df.settings.repair_checks import check_repair_training

_VERL_FOLDER = Path(str(resources.files("verl.trainer.config")))
_POLICY = "actor_rollout_ref.model.path"


@dataclass(frozen=True)
class EntryPoint:
    """folder, name: of the config. command_line: checks it before Hydra does, and spells it out. check: the run's own,
    on the composed config. data: form of the stand-in rows.
    """

    folder: Path
    name: str
    command_line: Callable[[Sequence[str]], list[str]]
    check: Callable[[DictConfig], object]
    data: str


def _check_stock(config: DictConfig) -> None:
    check_data_files(config, rows=-1)


ENTRY_POINTS = {
    "recipe.df.main_df": EntryPoint(CONFIG_FOLDER, "df_trainer", main_df.command_line, check_run, "rl"),
    "recipe.df.main_repair": EntryPoint(
        CONFIG_FOLDER, "repair_trainer", main_repair.command_line, check_repair_training, "repair_tasks"
    ),
    "verl.trainer.main_ppo": EntryPoint(_VERL_FOLDER, "ppo_trainer", list, _check_stock, "rl"),
}
SFT = ("recipe.df.main_repair_sft", "verl.trainer.sft_trainer")


def dry_run(module: str, arguments: Sequence[str], gpu: float, host: float | None = None) -> list[str]:
    """Check a run.

    Args:
        module: its entry point.
        arguments: its command line.
        gpu: GB of a GPU.
        host: GiB of a node's memory; None: not compared.

    Returns:
        lines on what was replaced and what a step amounts to.

    Raises:
        ConfigError: the run would not start, whoever refuses it: verl_df, Hydra, OmegaConf or verl.
    """
    disable_progress_bar()
    try:
        return _checked(module, arguments, gpu, host)
    except (plugin.PluginError, HydraException, OmegaConfBaseException, AssertionError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _checked(module: str, arguments: Sequence[str], gpu: float, host: float | None) -> list[str]:
    if module in SFT:
        return _dry_run_sft(arguments, gpu)
    entry, config = _config(module, arguments)
    sizes = model_sizes(_POLICY, config.actor_rollout_ref.model.path)
    critic = need_critic(config)
    models = (_POLICY, "df.repair.model_path", *(["critic.model.path"] if critic else []))
    with tempfile.TemporaryDirectory() as folder:
        lines = replace_models(config, models, sizes, Path(folder)) + replace_data(config, entry.data, Path(folder))
        entry.check(config)
        validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=critic)
        omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
        omega_conf_to_dataclass(config.actor_rollout_ref.model)  # loads tokenizer and processor
    run = run_sizes(config, critic)
    check_sizes(run, sizes)
    check_memory(run, sizes, gpu, host)
    return lines + describe(run, ledger(run, sizes, gpu))


def _config(module: str, arguments: Sequence[str]) -> tuple[EntryPoint, DictConfig]:
    if module not in ENTRY_POINTS:
        raise ConfigError(f"{module}: a dry run knows {', '.join([*ENTRY_POINTS, *SFT])}")
    plugin.require_loaded()
    entry = ENTRY_POINTS[module]
    return entry, _composed(entry.folder, entry.name, entry.command_line(arguments))


def sums_of(module: str, arguments: Sequence[str], gpu: float) -> tuple[RunSizes, ModelSizes, Ledger]:
    """Sizes and ledger of a run of reinforcement learning, of which nothing else is checked."""
    _, config = _config(module, arguments)
    sizes = model_sizes(_POLICY, config.actor_rollout_ref.model.path)
    run = run_sizes(config, need_critic(config))
    return run, sizes, ledger(run, sizes, gpu)


def _dry_run_sft(arguments: Sequence[str], gpu: float) -> list[str]:
    config = _composed(_VERL_FOLDER, "sft_trainer_engine", arguments)
    sizes = model_sizes("model.path", config.model.path)
    with tempfile.TemporaryDirectory() as folder:
        lines = replace_models(config, ("model.path",), sizes, Path(folder))
        lines += replace_data(config, "sft", Path(folder))
        for block in (config.model, config.engine, config.optim, config.checkpoint):
            omega_conf_to_dataclass(block)
    ranks, batch = config.trainer.nnodes * config.trainer.n_gpus_per_node, config.data.train_batch_size
    if batch % ranks:
        raise ConfigError(f"data.train_batch_size = {batch} is not a multiple of the ranks = {ranks}")
    one = sft_pass(config)
    if config.data.max_length > one.tokens:
        raise ConfigError(
            f"{one.key}={one.tokens}: a row of data.max_length={config.data.max_length} tokens does not fit into a "
            "micro-batch"
        )
    memory = check_sft_memory(one, sizes, ranks, config.model.lora_rank, gpu)
    return [
        *lines,
        f"step: {batch} rows of up to {config.data.max_length:,} tokens, {batch // ranks} on each of {ranks} ranks",
        describe_sft(one, memory),
    ]


def _composed(folder: Path, name: str, arguments: Sequence[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder), version_base=None):
        return compose(name, overrides=list(arguments))
