# SPDX-License-Identifier: Apache-2.0
"""The settings that docs/controls.md calls near to other methods: they pass the checks, and decide what it says."""

import re

import pytest

from tests import ROOT
from tests.unit.adapters.support import composed
from verl_df.method.alignment import Method
from verl_df.settings.checks import check_choices
from verl_df.settings.config import ConfigError, load_df_config

SIZES = ("actor_rollout_ref.actor.use_dynamic_bsz=True", "actor_rollout_ref.rollout.n=4")
LONG_ENOUGH = "actor_rollout_ref.rollout.max_model_len=32768"
ROWS = dict(re.findall(r"^\| (IBPO|CARE)[^|]* \| `(.*?)`", (ROOT / "docs/controls.md").read_text(), re.MULTILINE))


def test_both_methods_are_documented() -> None:
    assert ROWS.keys() == {"IBPO", "CARE"}


@pytest.mark.parametrize(
    ("rival", "mode", "control"), [("IBPO", "gate_only", "off"), ("CARE", "repair_pairs", "no_gate")]
)
def test_the_documented_settings_are_accepted_and_load_no_repair_model(rival: str, mode: str, control: str) -> None:
    config = composed(*ROWS[rival].split(), *SIZES, LONG_ENOUGH)
    df = load_df_config(config.df)
    check_choices(config, df)
    assert (df.group.mode, df.control.kind, df.repair.placement, df.repair.n) == (mode, control, "policy", 1)
    assert df.repair.path is None and df.alignment.method is Method.LEVENSHTEIN


@pytest.mark.parametrize("rival", sorted(ROWS))
def test_the_policy_needs_room_for_its_repair_prompts(rival: str) -> None:
    config = composed(*ROWS[rival].split(), *SIZES)
    with pytest.raises(ConfigError, match="max_model_len"):
        check_choices(config, load_df_config(config.df))
