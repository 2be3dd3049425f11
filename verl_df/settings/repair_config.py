# SPDX-License-Identifier: Apache-2.0
"""The `df:` block of the repair model's own training: every key, its type, its default and what it means.

`scripts/docs_tables.py` writes the keys into `recipe/df/config/repair_trainer.yaml` and the table of
`docs/repair_model.md`. "Our reading" marks a place where the paper is silent; the reading is the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from verl_df.judges.auditor import AuditorConfig
from verl_df.judges.llm_judge import JudgeConfig
from verl_df.method.image_removal import REMOVALS
from verl_df.settings.config import CheckConfig, ConfigError, as_mapping, build_block, check_block_choices


@dataclass(frozen=True)
class ImageRemovalConfig:
    """The image-removal check C1 (Eq. 3): the repair is generated again from x without its image.

    Once a task, greedily (our reading, see `adapters.repair_agent_loop`): g_vis is the same for all its samples.

    Attributes:
        kind: `blank` (all zeros) or `noise` (uniform); `off`: no check, g_vis = 1 (table 2, "w/o C1").
        reference: whether the counterfactual call sees the reference a. `hidden` (our reading): no, for it would give
            the answer away; a repair then earns nothing if question and wrong response alone lead to the answer.
            `shown`: it does; a repair then earns nothing if it could have been copied from the reference.
        max_concurrency: counterfactual calls at a time in one agent-loop worker.
        timeout_s: seconds that one call may take, waiting included; past it g_vis = 1 and the call is counted.
    """

    kind: str = "blank"
    reference: str = "hidden"
    max_concurrency: int = 64
    timeout_s: float = 120.0


@dataclass(frozen=True)
class RepairTrainingConfig:
    """Root of the `df:` block of `repair_trainer.yaml`.

    Attributes:
        reward_manager: verl's reward manager that computes r_task (`naive`, `dapo`, `df_judge`, ...): the policy's.
        edit_penalty: lambda of Eq. 4 (paper: 0.5).
        prompt_template: file with {question}, {response}, {reference}; null: the packaged `repair.txt`.
        image_removal: the image-removal check C1 (Eq. 3), the factor g_vis.
        auditor: the model that looks for reward hacking in right repairs (section 3.3), the factor g_aud.
        judge: the LLM judge, for `reward_manager: df_judge`.
        log_dir: folder of the audits and their images; null: `<trainer.default_local_dir>/df`.
        check: checks of the data before Ray starts.
    """

    reward_manager: str = "naive"
    edit_penalty: float = 0.5
    prompt_template: str | None = None
    image_removal: ImageRemovalConfig = field(default_factory=ImageRemovalConfig)
    auditor: AuditorConfig = field(default_factory=AuditorConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    log_dir: str | None = None
    check: CheckConfig = field(default_factory=CheckConfig)


CHOICES: dict[str, tuple[str, ...]] = {
    "df.image_removal.kind": (*REMOVALS, "off"),
    "df.image_removal.reference": ("hidden", "shown"),
}


def load_repair_training_config(block: DictConfig | Mapping[str, Any]) -> RepairTrainingConfig:
    """Turn the `df:` block of a composed config into a `RepairTrainingConfig`.

    Raises:
        ConfigError: unknown key, wrong type, value outside its choices.
    """
    config = build_block(RepairTrainingConfig, as_mapping(block), "df")
    check_block_choices(config, CHOICES)
    if config.edit_penalty < 0:
        raise ConfigError(f"df.edit_penalty={config.edit_penalty}: lambda of Eq. 4, 0 or more")
    removal = config.image_removal
    if removal.timeout_s <= 0 or removal.max_concurrency < 1:
        raise ConfigError(
            f"df.image_removal: timeout_s={removal.timeout_s} must be above 0 and "
            f"max_concurrency={removal.max_concurrency} at least 1"
        )
    return config
