# SPDX-License-Identifier: Apache-2.0
"""How long drafts are, and what the repair engine is told of them."""

import importlib.util
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from verl_df.settings.config import ConfigError, RepairConfig
from verl_df.settings.speculation import (
    COPY_PROPOSER,
    LONGEST_DRAFT,
    VERIFIED_TOKENS,
    check_speculation,
    draft_length,
    draft_room,
    draft_schedule,
    speculate,
)

SEQUENCES, RESPONSES = st.integers(1, 3000), st.integers(1, 40_000)


@given(SEQUENCES, RESPONSES)
def test_a_pass_verifies_no_more_than_the_budget_and_a_longer_draft_would_not_do(sequences: int, response: int) -> None:
    draft = draft_length(sequences, response)
    assert 0 <= draft <= min(LONGEST_DRAFT, response)
    assert draft == 0 or sequences * (draft + 1) <= VERIFIED_TOKENS
    assert draft == min(LONGEST_DRAFT, response) or sequences * (draft + 2) > VERIFIED_TOKENS


@given(SEQUENCES, RESPONSES)
def test_the_schedule_gives_each_number_of_sequences_one_draft(most: int, response: int) -> None:
    rows = draft_schedule(most, response)
    covered = [count for first, last, _ in rows for count in range(first, last + 1)]
    assert covered == list(range(1, most + 1))
    drafts = [draft for _, _, draft in rows]
    assert drafts == sorted(drafts, reverse=True)
    assert all(draft == draft_length(last, response) for _, last, draft in rows)
    assert len(rows) <= most.bit_length() + 1


def test_vllm_takes_the_schedule() -> None:
    utils = pytest.importorskip("vllm.v1.spec_decode.dynamic.utils")
    lookup = utils.build_dynamic_sd_schedule_lookup(
        draft_schedule(1024, 2048), vllm_max_batch_size=1024, vllm_num_speculative_tokens=draft_length(1, 2048)
    )
    assert [lookup[count] for count in (1, 4, 5, 16, 17, 64, 256, 257, 1024)] == [127, 127, 63, 31, 15, 7, 1, 0, 0]


def rollout(**changes: Any) -> Any:
    settings = {"name": "vllm", "max_num_seqs": 64, "response_length": 500, "max_model_len": 2000}
    return OmegaConf.create({**settings, "engine_kwargs": {"vllm": {"seen": 1}}, "disable_log_stats": True, **changes})


def test_what_the_engine_is_told() -> None:
    block = rollout()
    speculate(block, "ngram")
    assert block.engine_kwargs.vllm.seen == 1
    assert block.engine_kwargs.vllm.speculative_config == {
        "method": "ngram",
        "num_speculative_tokens": 127,
        "num_speculative_tokens_per_batch_size": draft_schedule(64, 500),
        "prompt_lookup_min": 2,
        "prompt_lookup_max": 8,
    }
    assert (block.max_model_len, block.disable_log_stats) == (2000 + 2 * 127, False)


def test_copies_are_drafted_by_a_class_of_our_own() -> None:
    block = rollout()
    speculate(block, "copy")
    assert block.engine_kwargs.vllm.speculative_config == {
        "method": "custom_class",
        "model": COPY_PROPOSER,
        "num_speculative_tokens": 127,
        "num_speculative_tokens_per_batch_size": draft_schedule(64, 500),
    }


def test_suffix_decoding_looks_nothing_up_and_chooses_lengths_itself() -> None:
    block = rollout(response_length=20)
    speculate(block, "suffix")
    config = block.engine_kwargs.vllm.speculative_config
    assert config == {"method": "suffix", "num_speculative_tokens": 20}
    assert block.max_model_len == 2000 + draft_room(20) == 2040


def test_off_changes_nothing() -> None:
    block = rollout()
    speculate(block, "off")
    assert block == rollout()


def check(speculation: str, policy: Any = None, **repair: Any) -> None:
    settings = RepairConfig(model_path="repair", speculation=speculation, rollout=repair)
    check_speculation(settings, rollout() if policy is None else policy)


OWN = {"engine_kwargs": {"vllm": {"speculative_config": {"method": "suffix"}}}}


@pytest.mark.parametrize(
    ("repair", "message"),
    [
        ({"name": "sglang"}, "is for vLLM, and the repair engine is sglang: set df.repair.speculation=off"),
        (OWN, "df.repair.speculation=ngram and engine_kwargs.vllm.speculative_config"),
        ({"engine_kwargs": {"vllm": {"async_scheduling": True}}}, "cannot schedule ahead"),
    ],
)
def test_what_vllm_would_refuse_is_refused_first(repair: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check("ngram", **repair)
    check("off", **repair)
    check("ngram")


def test_the_policys_own_speculation_counts_unless_it_is_taken_back() -> None:
    with pytest.raises(ConfigError, match="of the policy's rollout"):
        check("ngram", rollout(**OWN))
    check("ngram", rollout(**OWN), engine_kwargs={"vllm": {"speculative_config": None}})


def test_suffix_decoding_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="arctic-inference, which is not installed"):
        check("suffix")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    check("suffix")
