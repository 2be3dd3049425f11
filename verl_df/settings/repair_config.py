# SPDX-License-Identifier: Apache-2.0
"""The `df:` block of the repair model's own training: every key, its type, its default and what it means.

`scripts/docs_tables.py` writes the keys into `recipe/df/config/repair_trainer.yaml` and the table of
`docs/repair_model.md`. "Our reading" marks a place where the paper is silent; the reading is the default.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from omegaconf import DictConfig
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from verl_df.io.validation import checked
from verl_df.judges.auditor import AuditorConfig
from verl_df.judges.llm_judge import JudgeConfig
from verl_df.method.image_removal import Removal
from verl_df.settings.config import BudgetConfig, CheckConfig, load_block


@checked
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

    kind: Literal[Removal, "off"] = "blank"
    reference: Literal["hidden", "shown"] = "hidden"
    max_concurrency: PositiveInt = 64
    timeout_s: PositiveFloat = 120.0


@checked
class RepairTrainingConfig:
    """Root of the `df:` block of `repair_trainer.yaml`.

    Attributes:
        reward_manager: verl's reward manager that computes r_task (`naive`, `dapo`, `df_judge`, ...): the policy's.
        edit_penalty: lambda of Eq. 4 (paper: 0.5).
        prompt_template: file with {question}, {response}, {reference}; null: the packaged `repair.txt`.
        image_removal: the image-removal check C1 (Eq. 3), the factor g_vis.
        auditor: the model that looks for reward hacking in right repairs (section 3.3), the factor g_aud.
        judge: the LLM judge, for `reward_manager: df_judge`.
        log_dir: folder of the ledger, the audits and their images; null: `<trainer.default_local_dir>/df`.
        budget: what a run may spend.
        check: checks of the data before Ray starts.
    """

    reward_manager: str = "naive"
    edit_penalty: NonNegativeFloat = 0.5
    prompt_template: str | None = None
    image_removal: ImageRemovalConfig = field(default_factory=ImageRemovalConfig)
    auditor: AuditorConfig = field(default_factory=AuditorConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    log_dir: str | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    check: CheckConfig = field(default_factory=CheckConfig)


def load_repair_training_config(block: DictConfig | Mapping[str, Any]) -> RepairTrainingConfig:
    """Turn the `df:` block of a composed config into a `RepairTrainingConfig`.

    Raises:
        ConfigError: unknown key, wrong type, value outside its choices.
    """
    return load_block(RepairTrainingConfig, block, "df")
