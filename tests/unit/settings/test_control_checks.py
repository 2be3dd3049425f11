# SPDX-License-Identifier: Apache-2.0
"""A control that could change nothing is refused."""

from itertools import product

import pytest

from verl_df.controls.settings import ANSWERS_AGAIN, IMITATES, NEVER_ASKS, USES_TRUTH, Control
from verl_df.settings.config import ConfigError, load_df_config
from verl_df.settings.control_checks import (
    LIKELIHOOD,
    check_control,
    check_durian,
    check_shaping,
    check_weight,
)
from verl_df.settings.placement_checks import asks_model, loads_model


@pytest.mark.parametrize("kind", [kind for kind in Control if kind is not Control.OFF])
def test_a_control_without_df_is_refused(kind: Control) -> None:
    with pytest.raises(ConfigError, match=f"df.control.kind={kind} replaces a part of DF, which df.group.mode=off"):
        check_control(load_df_config({"control": {"kind": kind}, "group": {"mode": "off"}}), LIKELIHOOD)


@pytest.mark.parametrize("kind", list(Control))
def test_only_controls_with_a_truth_need_one(kind: Control) -> None:
    policy = {"repair": {"placement": "policy"}, "group": {"mode": IMITATES.get(kind, "repair_pairs")}}
    df = load_df_config({"control": {"kind": kind}, **policy})
    if kind in USES_TRUTH:
        with pytest.raises(ConfigError, match="set df.truth.path"):
            check_control(df, LIKELIHOOD)
    else:
        check_control(df, LIKELIHOOD)
    known = {"control": {"kind": kind}, "truth": {"path": "pkg://verl_df.lab.toy.truth"}, **policy}
    check_control(load_df_config(known), LIKELIHOOD)


@pytest.mark.parametrize("kind", sorted(IMITATES))
def test_imitation_needs_the_likelihood_and_the_rows(kind: Control) -> None:
    mode = IMITATES[kind]
    with pytest.raises(ConfigError, match="loss_mode=df_vanilla is none: set it to df_gpg"):
        check_control(load_df_config({"control": {"kind": kind}, "group": {"mode": mode}}), "df_vanilla")
    other = "gate_only" if mode == "repair_pairs" else "repair_pairs"
    with pytest.raises(ConfigError, match=f"no rows to imitate with df.group.mode={other}: set it to {mode}"):
        check_control(load_df_config({"control": {"kind": kind}, "group": {"mode": other}}), LIKELIHOOD)


@pytest.mark.parametrize("kind", sorted(ANSWERS_AGAIN))
def test_answers_again_are_the_policys(kind: Control) -> None:
    with pytest.raises(ConfigError, match="set df.repair.placement=policy and leave df.repair.model_path out"):
        check_control(load_df_config({"control": {"kind": kind}}), "df_vanilla")


@pytest.mark.parametrize("kind", list(Control))
def test_a_model_is_loaded_where_it_is_asked(kind: Control) -> None:
    for mode, placement in product(["off", "gate_only"], ["colocated", "policy"]):
        df = load_df_config({"control": {"kind": kind}, "group": {"mode": mode}, "repair": {"placement": placement}})
        assert asks_model(df) == (mode != "off" and kind not in NEVER_ASKS)
        assert loads_model(df) == (asks_model(df) and placement == "colocated")


def test_weights_need_a_pass_of_the_policy() -> None:
    weighted = load_df_config({"weight": {"kind": "entropy"}})
    with pytest.raises(ConfigError, match="set algorithm.rollout_correction.bypass_mode=False"):
        check_weight(weighted, bypass=True)
    check_weight(weighted, bypass=False)
    check_weight(load_df_config({}), bypass=True)


def test_shaped_rewards_need_repairs() -> None:
    shaping = {"shaping": {"strength": 0.6}}
    with pytest.raises(ConfigError, match="with df.group.mode=off nothing is repaired: set it to gate_only"):
        check_shaping(load_df_config({**shaping, "group": {"mode": "off"}}))
    check_shaping(load_df_config(shaping))
    check_shaping(load_df_config({"group": {"mode": "off"}}))
    with pytest.raises(ConfigError, match="as good as a right one: keep their product below 1"):
        load_df_config({"shaping": {"strength": 2.0}})


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ({"adv_estimator": "df_rloo"}, "algorithm.adv_estimator=df_rloo with norm_adv_by_std_in_grpo=True"),
        ({"adv_estimator": "df_grpo", "norm_adv_by_std_in_grpo": False}, "norm_adv_by_std_in_grpo=False is divided"),
        ({"adv_estimator": "df_grpo", "use_kl_in_reward": True}, "use actor_rollout_ref.actor.use_kl_loss=True"),
    ],
)
def test_other_deviations_are_for_grpos_advantage(algorithm: dict, message: str) -> None:
    df = load_df_config({"durian": {"reasoning": 0.2}})
    with pytest.raises(ConfigError, match=message):
        check_durian(df, algorithm)
    check_durian(load_df_config({}), algorithm)
    check_durian(df, {"adv_estimator": "df_grpo"})
