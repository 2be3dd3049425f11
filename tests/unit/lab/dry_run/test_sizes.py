# SPDX-License-Identifier: Apache-2.0
"""Sizes that must divide one another or fit into one another, and what is said of them."""

from dataclasses import replace

import pytest

from tests.unit.lab.dry_run.support import LOG_PROB, MODEL, POLICY, REPAIR, RUN, UPDATE, VISION
from verl_df.lab.dry_run.memory import ledger
from verl_df.lab.dry_run.report import describe
from verl_df.lab.dry_run.sizes import check_sizes
from verl_df.settings.config import ConfigError


def test_sizes_that_go_together() -> None:
    check_sizes(RUN, MODEL)
    check_sizes(replace(RUN, repair=None), MODEL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mini_batch": 5}, "data.train_batch_size = 32 is not a multiple"),
        ({"policy": replace(POLICY, tensor_parallel=3)}, "GPUs .* = 4 is not a multiple of actor_.* = 3"),
        ({"repair": replace(REPAIR, tensor_parallel=3)}, "GPUs .* = 4 is not a multiple of df.repair.rollout.* = 3"),
        ({"gpus": 16, "policy": replace(POLICY, tensor_parallel=16)}, "attention heads = 8 is not a multiple"),
        ({"gpus": 8, "policy": replace(POLICY, tensor_parallel=8)}, "vision tower's attention heads = 4 is not"),
        ({"gpus": 3, "policy": replace(POLICY, tensor_parallel=1), "repair": None}, "ranks = 3"),
        ({"update": replace(UPDATE, tokens=1499)}, "at least 1500"),
        ({"log_prob": replace(LOG_PROB, tokens=1499)}, "log_prob_max_token_len_per_gpu=1499"),
        ({"repair": replace(REPAIR, wanted=10_001)}, "a repair with its drafts can have 10001 tokens"),
        (
            {"prompt": 9501, "update": replace(UPDATE, tokens=99999), "log_prob": replace(LOG_PROB, tokens=99999)},
            "a prompt and its response can have 10",
        ),
    ],
)
def test_sizes_that_do_not(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sizes(replace(RUN, **change), MODEL)


def test_a_shared_sequence_fits_into_smaller_micro_batches() -> None:
    small = {"update": replace(UPDATE, tokens=750), "log_prob": replace(LOG_PROB, tokens=750)}
    check_sizes(replace(RUN, sequence_parallel=2, **small), replace(MODEL, vision=replace(VISION, heads=2)))


def test_what_is_said_of_a_run() -> None:
    lines = describe(RUN, ledger(RUN, MODEL, gpu=10))
    assert lines[0] == "step: 32 prompts x 8 rollouts = 256 responses of up to 500 tokens; at most 256 x 2 repairs"
    assert lines[1] == "update: 16 prompts in each of 2 optimiser steps, 32 rollouts on each of 4 ranks"
    assert lines[2].startswith("vLLM, policy: 2 replicas over 2 GPUs, 4.9 GiB of each: weights 0.1, a step ")
    assert lines[3].startswith("vLLM, repair model: ")
    without = replace(RUN, repairs=0, repair=None)
    assert not any("repair" in line for line in describe(without, ledger(without, MODEL, gpu=10)))
