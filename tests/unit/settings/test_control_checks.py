# SPDX-License-Identifier: Apache-2.0
"""A control that could change nothing is refused."""

import pytest

from verl_df.controls.settings import USES_TRUTH, Control
from verl_df.settings.config import ConfigError, load_df_config
from verl_df.settings.control_checks import check_control, check_weight


@pytest.mark.parametrize("kind", [kind for kind in Control if kind is not Control.OFF])
def test_a_control_without_df_is_refused(kind: Control) -> None:
    with pytest.raises(ConfigError, match=f"df.control.kind={kind} replaces a part of DF, which df.group.mode=off"):
        check_control(load_df_config({"control": {"kind": kind}, "group": {"mode": "off"}}))


@pytest.mark.parametrize("kind", list(Control))
def test_only_controls_with_a_truth_need_one(kind: Control) -> None:
    df = load_df_config({"control": {"kind": kind}})
    if kind in USES_TRUTH:
        with pytest.raises(ConfigError, match="set df.truth.path"):
            check_control(df)
    else:
        check_control(df)
    check_control(load_df_config({"control": {"kind": kind}, "truth": {"path": "pkg://verl_df.lab.toy.truth"}}))


def test_weights_need_a_pass_of_the_policy() -> None:
    weighted = load_df_config({"weight": {"kind": "entropy"}})
    with pytest.raises(ConfigError, match="set algorithm.rollout_correction.bypass_mode=False"):
        check_weight(weighted, bypass=True)
    check_weight(weighted, bypass=False)
    check_weight(load_df_config({}), bypass=True)
