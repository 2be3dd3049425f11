# SPDX-License-Identifier: Apache-2.0
"""The studies of the repository: what each arm's script would start is known to verl and to the `df:` block.

And tables 2 to 4 have the paper's rows.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError

from tests import ROOT
from tests.unit.adapters.support import composed
from tests.unit.launch_support import arguments
from verl_df.lab.study.budgets import budget_override
from verl_df.lab.study.settings import Run, Study, read_study, runs_of
from verl_df.settings.checks import check_choices
from verl_df.settings.config import DFConfig, load_df_config

STUDIES = sorted((ROOT / "examples/studies").glob("*.yaml"))
EXAMPLE_BUDGET = 123.456789


@cache
def study_of(name: str) -> Study:
    return read_study(ROOT / f"examples/studies/{name}.yaml")


def first_seed(name: str) -> list[Run]:
    study = study_of(name)
    return [run for run in runs_of(study) if run.seed == study.seeds[0]]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Run], tuple[str, DictConfig]]:
    """Module and config of what a run's script would start.

    Composing takes half a second: once for each environment. Overrides, which the script appends, are laid over it as
    Hydra reads them; unknown keys are an error.
    """

    @cache
    def base(script: str, env: tuple[tuple[str, str], ...]) -> tuple[str, DictConfig]:
        given = arguments(script, tmp_path_factory.mktemp("run"), **dict(env))
        module, overrides = given[given.index("-m") + 1], given[given.index("-m") + 2 :]
        if module == "recipe.df.main_df":
            return module, composed(*overrides)
        GlobalHydra.instance().clear()
        with initialize_config_module("verl.trainer.config", version_base=None):
            return module, compose("ppo_trainer", overrides=overrides)

    def launch(study: str, run: Run) -> tuple[str, DictConfig]:
        module, config = base(study_of(study).script, tuple(run.env.items()))
        config = config.copy()
        budget = budget_override([EXAMPLE_BUDGET]) if run.budget else []
        for one in OverridesParser.create().parse_overrides([*run.overrides, *budget]):
            assert one.type is OverrideType.CHANGE
            OmegaConf.update(config, one.key_or_group, one.value(), merge=False)
        return module, config

    return launch


@pytest.mark.parametrize(
    ("study", "run"),
    [(path.stem, run) for path in STUDIES for run in first_seed(path.stem)],
    ids=lambda one: one.name if isinstance(one, Run) else one,
)
def test_an_arm_starts_a_run_that_verl_and_the_checks_accept(study: str, run: Run, launched) -> None:
    module, config = launched(study, run)
    assert config.data.seed == run.seed
    if module == "verl.trainer.main_ppo":  # stock verl: nothing of ours is in the config
        assert "df" not in config and run.budget is None
        return
    df = load_df_config(config.df)
    check_choices(config, df)
    assert df.budget.device_seconds == (EXAMPLE_BUDGET if run.budget else None)
    if run.budget is not None:  # it ends by its budget, not by the steps of the run whose time it gets
        like = next(one for one in first_seed(study) if one.name == run.like)
        steps = launched(study, like)[1].trainer.total_training_steps
        assert config.trainer.total_training_steps >= 10 * steps
    for name, value in run.env.items():
        assert name in (ROOT / study_of(study).script).read_text(), f"the script does not know {name}={value}"


def test_a_key_that_verl_does_not_have_would_be_seen(launched) -> None:
    (run, *_) = first_seed("table4")
    with pytest.raises(ConfigAttributeError, match="ppo_mini_batch"):
        launched("table4", replace(run, overrides=("actor_rollout_ref.actor.ppo_mini_batch=4",)))


def settings(study: str, launched) -> dict[str, DFConfig]:
    """The `df:` block of each arm; all are DF-GSPO."""
    found = {}
    for run in first_seed(study):
        _, config = launched(study, run)
        assert config.actor_rollout_ref.actor.policy_loss.loss_mode == "df_gspo"
        found[run.arm] = load_df_config(config.df)
    return found


def test_table_2_has_the_papers_rows(launched) -> None:
    rows = settings("table2", launched)
    told = {
        arm: (one.group.mode, one.alignment.method.value, one.gate.kind, one.repair.variant)
        for arm, one in rows.items()
    }
    models = "outputs/toy/repair_models"
    assert all(one.repair.path == f"{models}/{one.repair.variant}" for one in rows.values())
    full = ("repair_pairs", "levenshtein", "binary", "full")
    assert told == {
        "gspo": ("off", *full[1:]),
        "gspo_equal_steps": ("off", *full[1:]),
        "lcs": ("repair_pairs", "lcs", "binary", "full"),
        "soft": ("repair_pairs", "levenshtein", "soft", "full"),
        "sft_only": (*full[:3], "sft"),
        "no_edit_penalty": (*full[:3], "no_edit_penalty"),
        "no_c1": (*full[:3], "no_c1"),
        "full": full,
    }
    trained = (ROOT / "examples/toy/repair_models.sh").read_text()
    assert all(one.repair.variant in trained for one in rows.values())


def test_table_3_has_the_papers_values(launched) -> None:
    variants = {one.repair.variant for one in settings("table3", launched).values()}
    assert variants == {"lambda_0.2", "lambda_0.4", "full", "lambda_0.6", "lambda_0.8"}


def test_table_4_has_the_papers_values_at_equal_time(launched) -> None:
    rows = settings("table4", launched)
    assert {one.repair.n: one.budget.device_seconds for one in rows.values()} == {
        1: EXAMPLE_BUDGET,
        2: None,
        3: EXAMPLE_BUDGET,
        4: EXAMPLE_BUDGET,
    }


def test_figures_of_the_toys_training_are_those_that_were_measured() -> None:
    card = (ROOT / "examples/toy/world/CARD.md").read_text()
    measured = {float(number) for number in re.findall(r"^\| `\w+/` \| .* \| ([\d.]+) \|$", card, re.MULTILINE)}
    used = {
        one
        for path in STUDIES
        for arm in study_of(path.stem).rows.values()
        for one in (arm.budget.plus if arm.budget else ())
        if isinstance(one, float)
    }
    assert used and used <= measured
