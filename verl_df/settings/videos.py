# SPDX-License-Identifier: Apache-2.0
"""Whether model and rollout engine take the videos of the data, checked before Ray starts."""

from omegaconf import DictConfig, OmegaConf

from verl_df.platform.video_positions import MODEL_TYPE
from verl_df.settings.config import ConfigError

_LIMIT = "actor_rollout_ref.rollout.engine_kwargs.vllm.limit_mm_per_prompt"


def check_videos_allowed(config: DictConfig, model_type: str | None, most: int) -> None:
    """Refuse a model or a rollout engine that cannot take the videos of the data.

    Args:
        config: the run's.
        model_type: of the policy; None: not known yet.
        most: videos of a row, at most.

    Raises:
        ConfigError: what to change.
    """
    if most and model_type not in (None, MODEL_TYPE):
        raise ConfigError(
            f"actor_rollout_ref.model.path={config.actor_rollout_ref.model.path}: the data have videos, which are "
            f"supported for {MODEL_TYPE} and not for {model_type}: write the frames as images, or take a Qwen2.5-VL"
        )
    limit = OmegaConf.select(config, f"{_LIMIT}.video")
    if limit is not None and limit < most:
        raise ConfigError(f"{_LIMIT}.video={limit}: rows of the data have up to {most} videos; set it to {most}")
