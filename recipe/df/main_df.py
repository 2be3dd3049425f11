# SPDX-License-Identifier: Apache-2.0
"""Entry point of the recipe: `python -m recipe.df.main_df key=value ...`.

verl's `main_ppo` with DF's config, and with everything that can be known to be wrong refused before Ray starts.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import hydra
import ray
from omegaconf import DictConfig, OmegaConf
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from recipe.df.presets import spelled_out
from verl_df import plugin
from verl_df.adapters.clean_stop import ListeningRunner, stop_on_signal
from verl_df.io.lock import InUse, only_writer
from verl_df.settings.checks import check_run
from verl_df.settings.config import ConfigError, check_config_groups, check_override_names
from verl_df.settings.paths import make_absolute

# Absolute: Hydra then finds it also when this module is imported by another entry point.
CONFIG_FOLDER = Path(__file__).resolve().with_name("config")


class DFTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):
    """verl's task runner, after a check that the plugin is active in its process too."""

    def run(self, config: DictConfig) -> None:
        plugin.require_loaded()
        super().run(config)


@hydra.main(config_path=str(CONFIG_FOLDER), config_name="df_trainer", version_base=None)
def train(config: DictConfig) -> None:
    """Check the run, then hand it to verl."""
    launch(config, check_run)


def launch(config: DictConfig, check: Callable[[DictConfig], object]) -> None:
    """Check the run with `check`, which raises ConfigError for a wrong setting, then hand it to verl.

    Ctrl-C or SIGTERM ends the run after a step, with a checkpoint, and this process with the signal's exit status.
    """
    with ExitStack() as stack:
        try:
            plugin.require_loaded()
            auto_set_device(config)
            check(config)
            make_absolute(config)
            for folder in result_folders(config):
                stack.enter_context(only_writer(folder))
        except (ConfigError, InUse, plugin.PluginError) as error:
            sys.exit(f"error: {error}")  # here, not in main(): Hydra would print a traceback first
        with_reference, with_critic = need_reference_policy(config), need_critic(config)
        validate_config(config=config, use_reference_policy=with_reference, use_critic=with_critic)
        stop = stack.enter_context(stop_on_signal(Path(config.trainer.default_local_dir)))
        run_ppo(config, task_runner_class=ListeningRunner(ray.remote(DFTaskRunner), stop.listen))
        if stop.status != 0:
            sys.exit(stop.status)


def result_folders(config: DictConfig) -> list[Path]:
    """Where a run leaves its checkpoints and DF's logs; two runs in one of them would mix. Remote ones are left out."""
    keys = ("trainer.default_local_dir", "df.log.dir", "df.log_dir")
    named = {OmegaConf.select(config, key, throw_on_missing=False) for key in keys}
    return sorted({Path(name).expanduser().absolute() for name in named if name and "://" not in name})


def command_line(arguments: Iterable[str]) -> list[str]:
    """The command line as Hydra is to read it. Raises: ConfigError, for a name that does not exist."""
    arguments = spelled_out(arguments)
    check_config_groups(arguments, CONFIG_FOLDER)
    check_override_names(arguments)
    return arguments


def run(command_line: Callable[[list[str]], list[str]], train: Callable[[], None]) -> None:
    """Train as the command line says; a name that does not exist is one line on stderr, not a traceback."""
    try:
        sys.argv[1:] = command_line(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"error: {error}")
    train()


def main() -> None:
    """Train a policy."""
    run(command_line, train)


if __name__ == "__main__":
    main()
