# SPDX-License-Identifier: Apache-2.0
"""Where a draft of a near copy goes on, against a naive reference; and what vLLM is given."""

import importlib
from itertools import takewhile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")
from verl_df.adapters.policy_training.copy_drafts import COMPARED, CopyProposer, draft, place_to_follow
from verl_df.settings.speculation import COPY_PROPOSER, draft_length, draft_schedule


def as_tokens(ids: list[int]) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


def naive_place(ids: list[int]) -> int:
    """All places by how they compare, from the last token backwards; the first of the best."""
    end = len(ids)
    likeness = {
        place: [back <= place and ids[place - back] == ids[end - back] for back in range(1, COMPARED + 1)]
        for place in range(1, end)
    }
    best = max(likeness.values(), default=[])
    return next((place for place in likeness if any(best) and likeness[place] == best), end)


@given(st.integers(1, 6).flatmap(lambda kinds: st.lists(st.integers(0, kinds), max_size=60)))
def test_the_place_is_the_earliest_of_the_likest(ids: list[int]) -> None:
    assert place_to_follow(as_tokens(ids)) == naive_place(ids)


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(-2, 80))
def test_a_draft_is_a_piece_of_what_is_there_and_no_longer_than_allowed(ids: list[int], length: int) -> None:
    found = draft(as_tokens(ids), length)
    place = naive_place(ids)
    assert found == ids[place : place + max(0, length)]


# The instruction, the wrong response from 10 to 19, and what stands between it and the repair.
PROMPT = [90, 91, *range(10, 20), 92, 93]


@pytest.mark.parametrize(
    ("repaired", "follows"),
    [
        ([10], range(11, 20)),  # from the first token on
        ([10, 11, 12, 60], range(14, 20)),  # one token for another, never seen before
        ([10, 11, 12, 14], range(15, 20)),  # 13 left out
        ([10, 11, 12, 60, 13], range(14, 20)),  # 60 put in
        ([10, 11, 12, 60, 61], range(15, 20)),  # two for two
        ([13, 14], range(15, 20)),  # a beginning left out
    ],
)
def test_a_draft_goes_on_after_an_edit(repaired: list[int], follows: range) -> None:
    assert draft(as_tokens(PROMPT + repaired), len(follows)) == list(follows)


def test_a_token_put_in_leads_to_where_it_occurs_until_the_next_one_leads_back() -> None:
    assert draft(as_tokens([*PROMPT, 10, 11, 90]), 2) == [91, 10]
    assert draft(as_tokens([*PROMPT, 10, 11, 90, 13]), 2) == [14, 15]


def test_repeated_tokens_are_told_apart_by_what_stands_before_them() -> None:
    rows = [1, 7, 7, 5, 2, 7, 7, 6, 3]
    assert draft(as_tokens([*rows, 90, 1, 7, 7]), 1) == [5]
    assert draft(as_tokens([*rows, 90, 1, 7, 7, 5, 2, 7, 7]), 1) == [6]
    assert draft(as_tokens([*rows, 90, 1, 7, 7, 5, 2, 8, 7]), 1) == [6]  # a hole before the last


def test_at_the_end_of_the_wrong_response_it_goes_on_to_what_stands_there() -> None:
    assert draft(as_tokens([*PROMPT, *range(10, 20)]), 2) == [92, 93]


@pytest.mark.parametrize("ids", [[], [1], [1, 2, 3]])
def test_what_was_never_seen_is_followed_by_nothing(ids: list[int]) -> None:
    assert draft(as_tokens(ids), 5) == []


def passes(prompt: list[int], repaired: list[int], length: int) -> int:
    """Of a model that is sure of `repaired`; reading the prompt gives the first token."""
    done, count = 1, 1
    while done < len(repaired):
        proposed = draft(as_tokens(prompt + repaired[:done]), length)
        pairs = zip(proposed, repaired[done:], strict=False)
        done += 1 + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        count += 1
    return count


@given(st.sets(st.integers(1, 39)))
def test_a_repair_takes_a_pass_for_each_edit_and_one_to_end(edits: set[int]) -> None:
    wrong = list(range(100, 140))
    repaired = [1000 + place if place in edits else token for place, token in enumerate(wrong)] + [0]
    assert passes([1, 2, *wrong, 3], repaired, 127) == 1 + len(edits) + 1


def proposer(sequences: int, response: int) -> CopyProposer:
    speculative = SimpleNamespace(
        num_speculative_tokens=draft_length(1, response),
        num_speculative_tokens_per_batch_size=draft_schedule(sequences, response),
    )
    scheduler = SimpleNamespace(max_num_seqs=sequences)
    return CopyProposer(SimpleNamespace(speculative_config=speculative, scheduler_config=scheduler))


def test_the_setting_names_the_class() -> None:
    module, name = COPY_PROPOSER.rsplit(".", 1)
    assert getattr(importlib.import_module(module), name) is CopyProposer


@pytest.mark.parametrize(("at_once", "tokens"), [(1, 127), (4, 127), (5, 63), (64, 7), (256, 1), (257, 0)])
def test_drafts_are_as_long_as_the_rule_says_for_the_sequences_of_the_pass(at_once: int, tokens: int) -> None:
    pytest.importorskip("vllm")
    rows = np.zeros((512, 2000), dtype=np.int32)
    rows[:, :300] = np.arange(300)
    rows[:, 300] = 0
    counts = np.full(512, 301, dtype=np.int32)  # vLLM's arrays have a row for each sequence that it could take
    found = proposer(512, 2048).propose([[0]] * at_once, counts, rows, slot_mappings=None)
    assert found == [list(range(1, 1 + tokens))] * at_once


def test_a_prompt_that_is_being_read_has_no_draft_and_none_passes_the_models_length() -> None:
    pytest.importorskip("vllm")
    rows = np.array([[5, 6, 7, 8, 5, 99, 99], [5, 6, 7, 8, 9, 5, 99], [5, 6, 7, 8, 9, 1, 5]], dtype=np.int32)
    given, counts = [[], [9, 5], [5]], np.array([5, 6, 7, 0], dtype=np.int32)
    assert proposer(4, 64).propose(given, counts, rows) == [[], [6], []]
