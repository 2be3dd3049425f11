# SPDX-License-Identifier: Apache-2.0
"""Everything about a run that trains the repair model and can be known to be wrong before Ray starts."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig

from verl_df.settings.checks import (
    check_context,
    check_data_files,
    check_model_path,
    check_sequence_parallel,
    check_template,
    data_files,
    require_choice,
)
from verl_df.settings.config import ConfigError
from verl_df.settings.endpoint_checks import check_auditor, check_judge
from verl_df.settings.repair_config import RepairTrainingConfig, load_repair_training_config

TASK_COLUMN = "repair_task"
TASK_FIELDS = ("response", "response_ids", "reference", "reference_kind")
_FROM_YAML = "the default of repair_trainer.yaml"


def check_repair_training(config: DictConfig) -> RepairTrainingConfig:
    """Check the composed config, the model and the data files of a run of `main_repair`.

    Returns:
        the validated `df:` block.

    Raises:
        ConfigError: the first thing found to be wrong; the message says where it is and what to write instead.
    """
    df = load_repair_training_config(config.df)
    _check_choices(config, df)
    check_judge(df.reward_manager, df.judge)
    check_auditor(df.auditor)
    policy = check_model_path("actor_rollout_ref.model.path", config.actor_rollout_ref.model.path)
    check_sequence_parallel(config.actor_rollout_ref.actor, policy)
    check_template("df.prompt_template", df.prompt_template)
    check_data_files(config, df.check.images)
    for key, file in data_files(config):
        _check_tasks(key, file)
    return df


def _check_choices(config: DictConfig, df: RepairTrainingConfig) -> None:
    rollout = config.actor_rollout_ref.rollout
    require_choice("trainer.v1.trainer_mode", config.trainer.v1.trainer_mode, ("df_repair_sync",), _FROM_YAML)
    require_choice("reward.reward_manager.name", config.reward.reward_manager.name, ("df_repair",), _FROM_YAML)
    require_choice("rollout.agent.default_agent_loop", rollout.agent.default_agent_loop, ("df_repair",), _FROM_YAML)
    if not config.trainer.use_v1:
        raise ConfigError("trainer.use_v1=False: the repair reward needs verl's V1 trainer; leave it true")
    if config.reward.reward_model.enable:
        raise ConfigError(
            "reward.reward_model.enable=True: verl's reward model is not supported here; use a reward function, or "
            "df.reward_manager=df_judge"
        )
    check_context(config)
    if rollout.full_determinism and df.image_removal.kind != "off":
        raise ConfigError(
            "actor_rollout_ref.rollout.full_determinism=True gives a repair and its counterfactual the same request "
            "id: set it to False, or df.image_removal.kind=off"
        )


def _check_tasks(key: str, file: str) -> None:
    path = Path(file).expanduser()
    if path.suffix != ".parquet" or "://" in file:
        return  # left to verl, as in `check_data_file`
    schema = pq.read_schema(path)
    names = _fields(schema.field(TASK_COLUMN).type) if TASK_COLUMN in schema.names else []
    missing = [name for name in TASK_FIELDS if name not in names]
    if missing:
        raise ConfigError(
            f"{key}: {file} needs a column {TASK_COLUMN!r} with {', '.join(TASK_FIELDS)}; it lacks "
            f"{', '.join(missing)}. Write it with `verl-df repair-data parquet DIR --out-rl FILE`"
        )


def _fields(kind: Any) -> list[str]:
    return [kind.field(position).name for position in range(kind.num_fields)]
