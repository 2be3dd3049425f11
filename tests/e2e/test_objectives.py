# SPDX-License-Identifier: Apache-2.0
"""Every objective for two steps on the real thing: DF-GRPO is the main job (`test_df_grpo.py`), the others are here.

`test_objectives_literal.py` says that their losses are those of the paper; here they run, with what each asks of
verl: two FSDP workers, two optimiser steps per batch, dynamic sampling, a critic. Starting takes minutes, a step
seconds, so a run changes its objective between steps (`sweep.py`).
"""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.e2e.conftest import Run, merge, start_run
from verl_df.settings.objectives import load_objectives
from verl_df.token_weights.settings import WeightKind
from verl_df.token_weights.weigh import hidden_share, shows_a_response

PROMPTS = 8
SIZES = {"PROMPTS": str(PROMPTS), "ROLLOUTS": "8", "MAIN": "tests.e2e.sweep"}
# two optimiser steps per batch: the second has ratios other than one
SETTINGS = (
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS // 2}",
    "data.gen_batch_size=1",  # verl sets it where a run starts with dynamic sampling
)


def swept(world: Path, folder: Path, names: list[str], *settings: str, **variables: str) -> Run:
    """A run of one step for each of `names`."""
    overrides = (f"+sweep=[{','.join(names)}]", *SETTINGS, *settings)
    return start_run(world, folder, *overrides, ALGO=names[0], STEPS=str(len(names)), **SIZES | variables)


# ---- repair pairs, on two workers ------------------------------------------------------------------------------------

SKIPPED, GSPO, DAPO = (1,), (2, 3), (4, 5)


@pytest.fixture(scope="module")
def pairs(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """GSPO and DAPO on two FSDP workers, each with its own rollout and repair replica.

    The first batch has no right rollout. Gates are soft, over whole steps, from an LCS alignment, and normalised by
    gated tokens: everything that the main job's are not.
    """
    folder = tmp_path_factory.mktemp("pairs")
    rows = pd.read_parquet(world / "data/train.parquet").head(10 * PROMPTS)
    for row in range(PROMPTS):
        rows.at[row, "reward_model"] = {"style": "rule", "ground_truth": "99"}  # nobody says that
    rows.to_parquet(folder / "train.parquet")
    return swept(
        world,
        folder / "run",
        ["df_gspo"] * len(SKIPPED + GSPO) + ["df_dapo"] * len(DAPO),
        f"data.train_files={folder / 'train.parquet'}",
        "data.shuffle=False",
        "preset=df_lcs",
        "df.gate.kind=soft",
        "df.gate.level=step",
        "df.gate.step_separator=sentence",
        "df.gate.normalizer=gated",
        # DAPO's reward: a response longer than 64 - 48 tokens is punished, which every one is
        "df.reward_manager=dapo",
        "+reward.reward_kwargs.max_resp_len=64",
        "+reward.reward_kwargs.overlong_buffer_cfg={enable: True, len: 48, penalty_factor: 1.0, log: False}",
        WORKERS="2",
    )


def test_a_batch_without_a_correct_rollout_is_skipped(pairs: Run) -> None:
    (step,) = SKIPPED
    values = pairs.metrics[step]
    assert values["df/skipped_steps"] == 1 and values["df/skipped/no_correct"] == PROMPTS
    assert "actor/grad_norm" not in values


@pytest.mark.parametrize("step", GSPO + DAPO)
def test_pairs_are_trained_on_in_as_many_steps_as_ever(pairs: Run, step: int) -> None:
    values = pairs.metrics[step]
    assert values["df/skipped_steps"] == 0 and values["actor/grad_norm"] > 0
    assert values["df/rows/error"] >= values["df/rows/repair"] > 0
    # right rollouts stay in groups of which nothing could be repaired
    assert values["df/rows/correct"] == 0 or values["df/infeasible"] > 0
    assert values["df/mini_batches"] == 2


def test_the_sequence_ratio_is_clipped_where_the_token_ratio_is_not(pairs: Run) -> None:
    """GSPO's clip is hundreds of times narrower than DAPO's."""
    gspo, dapo = ([pairs.metrics[step]["df/policy/clip_fraction"] for step in steps] for steps in (GSPO, DAPO))
    assert min(gspo) > max(dapo) and max(gspo) > 0.1
    assert all(abs(pairs.metrics[step]["df/repaired/ratio"] - 1) < 0.1 for step in GSPO)


@pytest.mark.parametrize("step", DAPO)
def test_dapo_samples_until_every_group_is_mixed(pairs: Run, step: int) -> None:
    values = pairs.metrics[step]
    assert values["df/prompts"] == PROMPTS
    assert values["df/skipped/all_correct"] == values["df/skipped/no_correct"] == 0
    assert 0 < values["df/erroneous"] < values["df/rollouts"]
    # the penalty takes from the reward, never from r_task: that decides what is sampled anew and what is repaired
    assert -1 <= values["critic/rewards/min"] < 0 < values["critic/rewards/max"] < 1


def test_dapo_sampled_anew(pairs: Run) -> None:
    evicted = [pairs.metrics[step].get("training/filter_groups/evicted_samples", 0) for step in range(1, 6)]
    assert sum(evicted[:3]) == 0 < sum(evicted[3:])


def test_gates_are_soft_over_whole_steps(pairs: Run) -> None:
    repaired = [pair for pair in pairs.pairs if pair["repair"]]
    sides = [side for pair in repaired for side in (pair["error"], pair["repair"])]
    assert sides
    for side in sides:
        marked = [gate > 0 for gate in side["gate"]]
        assert sum(marked) >= sum(side["mask"]) > 0 and max(side["gate"]) == 1
    assert any(sum(gate > 0 for gate in side["gate"]) > sum(side["mask"]) for side in sides)
    assert any(0 < gate < 1 for side in sides for gate in side["gate"])


def test_both_workers_saved(pairs: Run) -> None:
    shards = sorted(path.name for path in (pairs.folder / "checkpoints/global_step_5/actor").glob("model_*"))
    assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]


# ---- gate only -------------------------------------------------------------------------------------------------------

STEPS_EACH = 2
GATE_ONLY = (
    "df_ppo",
    *(name for name, one in load_objectives().items() if one.mode == "gate_only" and name != "df_ppo"),
)


WEIGHTED = tuple(f"grpo_gate_only@{kind}" for kind in WeightKind if kind is not WeightKind.OFF)
CHANGED = ("grpo_gate_only@fipo", "grpo_gate_only@papo", "grpo_gate_only@durian")
NAMES = GATE_ONLY + WEIGHTED + CHANGED


@pytest.fixture(scope="module")
def gate_only(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two steps of every gate-only objective, and of every weight besides the gate, whose place is drawn at random.

    The first is PPO: its critic goes on learning beside the others.
    """
    names = [name for name in NAMES for _ in range(STEPS_EACH)]
    return swept(world, tmp_path_factory.mktemp("gate_only"), names, "df.control.kind=random")


def steps_of(name: str) -> range:
    first = STEPS_EACH * NAMES.index(name) + 1
    return range(first, first + STEPS_EACH)


@pytest.mark.parametrize("objective", NAMES)
def test_gate_only_objectives(gate_only: Run, objective: str) -> None:
    for step in steps_of(objective):
        values = gate_only.metrics[step]
        assert values["actor/grad_norm"] > 0 and math.isfinite(values["actor/pg_loss"])
        assert values["df/rows/repair"] == 0 and values["df/repaired"] > 0
        # the sampled rows, all of them, right ones included
        assert values["df/rollouts"] == values["df/rows/error"] + values["df/rows/correct"] == 8 * PROMPTS


def test_weights_besides_the_gate(gate_only: Run) -> None:
    bounds = {"low_probability": (1, 1.2), "high_probability": (0.8, 1), "top_entropy": (0, 1), "entropy": (0, 2)}
    # with a pass without the picture; PGPO's are of mean 1, their largest less than the tokens of a response
    bounds |= {"vppo": (0.1, 7.3), "pgpo": (0.99, 64), "tor": (0.3, 1)}
    bounds |= {"rlsd": (0.9, 1.1 + 1e-6)}  # of float32
    for name in WEIGHTED:
        low, high = bounds[name.partition("@")[2]]
        for step in steps_of(name):
            mean, largest = (gate_only.metrics[step][f"df/weight/{one}"] for one in ("mean", "max"))
            assert low < mean < high and mean < largest <= high
            blind = hidden_share(WeightKind(name.partition("@")[2])) is not None
            assert blind == ("timing_s/df_blind_log_prob" in gate_only.metrics[step])
            shown = shows_a_response(WeightKind(name.partition("@")[2]))
            assert shown == ("timing_s/df_shown_log_prob" in gate_only.metrics[step])
            assert not shown or 0 < gate_only.metrics[step]["df/weight/shown"] <= 1
    assert all("df/weight/mean" not in gate_only.metrics[step] for name in GATE_ONLY for step in steps_of(name))


def test_fipo_looks_at_what_the_first_optimiser_step_has_moved(gate_only: Run) -> None:
    for step in steps_of("grpo_gate_only@fipo"):
        mean, largest = (gate_only.metrics[step][f"actor/fipo/{one}"] for one in ("mean", "max"))
        assert 1 < mean < largest < 1.2 + 1e-6  # of float32
    assert "actor/fipo/mean" not in gate_only.metrics[1]


def test_papo_measures_how_much_the_policy_looks(gate_only: Run) -> None:
    for step in steps_of("grpo_gate_only@papo"):
        assert 0 < gate_only.metrics[step]["actor/papo/dependence"] < 10
        assert gate_only.metrics[step]["timing_s/df_blind_log_prob"] > 0


def test_durian_divides_by_the_deviation_of_prompts_that_are_as_difficult(gate_only: Run) -> None:
    for step in steps_of("grpo_gate_only@durian"):
        mean, largest = (gate_only.metrics[step][f"df/durian/{one}"] for one in ("mean", "max"))
        assert 0.5 < mean < largest < 2
    assert "df/durian/mean" not in gate_only.metrics[1]


def test_a_random_gate_has_the_size_of_the_mask_in_another_place(gate_only: Run) -> None:
    errors = [pair["error"] for pair in gate_only.pairs if pair["repair"]]
    assert errors and all(sum(error["gate"]) == sum(error["mask"]) for error in errors)
    elsewhere = [error for error in errors if error["gate"] != error["mask"]]
    assert len(elsewhere) > len(errors) / 2


def test_the_objectives_are_told_apart_by_what_they_do(gate_only: Run) -> None:
    """A reward of 0 or 1 gives RLOO advantages within one of zero; GRPO's are whole standard deviations."""

    def largest(name: str, objective: str) -> float:
        return max(gate_only.metrics[step][name] for step in steps_of(objective))

    assert largest("critic/advantages/max", "rloo_gate_only") <= 1 < largest("critic/advantages/max", "grpo_gate_only")
    clipped = {objective: largest("df/policy/clip_fraction", objective) for objective in GATE_ONLY}
    assert max(clipped, key=clipped.get) == "gspo_gate_only" and clipped["gspo_gate_only"] > 0.1


def test_the_critic_learns_returns_that_no_gate_touches(gate_only: Run) -> None:
    for step in steps_of("df_ppo"):
        values = gate_only.metrics[step]
        assert values["critic/vf_loss"] > 0 and values["critic/grad_norm"] > 0
        # gamma = lambda = 1: the return of every token is the reward of its rollout
        assert values["critic/returns/max"] == pytest.approx(values["critic/rewards/max"], abs=1e-5)
        assert values["critic/returns/mean"] > 0


def test_the_critics_checkpoint_is_merged_by_verls_tool(gate_only: Run, tmp_path: Path) -> None:
    merge(gate_only.folder / f"checkpoints/global_step_{STEPS_EACH * len(NAMES)}/critic", tmp_path)
    merged = load_file(tmp_path / "model.safetensors")
    assert "score.weight" in merged and merged["score.weight"].any()  # it started at zero
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["Qwen2_5_VLForTokenClassification"]
