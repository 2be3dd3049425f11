# SPDX-License-Identifier: Apache-2.0
"""The second world: right traces, the truth about wrong ones, and which wrong tokens are causes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from verl_df.lab.toy import chain, data
from verl_df.lab.toy.labels import (
    COMPENSATION,
    CONSEQUENCE,
    LABELS,
    RIGHT,
    ROOT,
    statement_labels,
    token_labels,
)
from verl_df.lab.toy.questions import question_of
from verl_df.lab.toy.reward import compute_score
from verl_df.lab.toy.settings import WORLDS, SftSettings
from verl_df.lab.toy.tokenizer import save_processor
from verl_df.lab.toy.truth import END_TOKEN, error_mask, exact_repair
from verl_df.lab.toy.verdict import judge
from verl_df.lab.toy.world import grid_from_lists, sample_grid

SETTINGS = replace(WORLDS["chain"], rl_train_rows=6, rl_val_rows=4, policy=SftSettings(40, 1, 2, 1e-3))
STYLES = ("spoken", "sums")


def make_example(seed: int) -> data.Example:
    rng = np.random.default_rng(seed)
    return data.Example("rl_val", seed, sample_grid(rng, SETTINGS.picture), chain.sample_question(rng), b"")


@pytest.fixture(scope="module")
def words_tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return save_processor(tmp_path_factory.mktemp("chain"), 0, "chain").tokenizer


GRID = [["red circle", "blue square", "empty"], ["green triangle"] * 3, ["yellow triangle", "red square", "red circle"]]
EXAMPLE = data.Example(
    "rl_val",
    0,
    grid_from_lists(GRID),
    chain.ChainQuestion(("5", "top", "bottom"), "Start with 5. Walk the top row, then the bottom row."),
    b"",
)
RIGHT_TEXT = """top left shows red circle so go up from 5 by 1 to 6
top centre shows blue square so go up from 6 by 3 to 9
top right shows empty cell so go up from 9 by 0 to 9
bottom left shows yellow triangle so go down from 9 by 4 to 5
bottom centre shows red square so go down from 5 by 1 to 4
bottom right shows red circle so go down from 4 by 1 to 3
\\boxed{3}"""


def labelled(response: str, label: int, example: data.Example = EXAMPLE) -> list[tuple[int, str, str]]:
    """Statements with a label: step, name and what is said."""
    found = statement_labels(response, example.extra_info())
    assert found is not None
    return [(field.step, field.name, field.said) for field, own in found if own == label]


def test_a_trace_by_hand() -> None:
    assert data.right_text(EXAMPLE, "spoken") == RIGHT_TEXT
    assert EXAMPLE.answer() == "3"
    assert data.right_text(EXAMPLE, "sums").splitlines()[3] == "at bottom left: triangle, yellow; move down: 9 - 4 = 5"


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(STYLES))
def test_a_right_trace_parses_answers_right_and_is_right_throughout(words_tokenizer, seed, style) -> None:
    example = make_example(seed)
    right = data.right_text(example, style)
    info = example.extra_info()
    parsed = chain.parse(right)
    assert parsed is not None and parsed[0] == style and len(parsed[1]) == 6 * len(chain.FIELDS) + 1
    assert all(right[field.start : field.end] == field.said for field in parsed[1])
    assert compute_score(data.DATA_SOURCE, right, example.answer())["score"] == 1.0
    assert exact_repair(right, info) == right and judge(example, right).first_error is None
    ids = words_tokenizer.encode(right + END_TOKEN)
    assert 100 <= len(ids) <= SETTINGS.response_tokens
    assert not error_mask(ids, info, words_tokenizer).any()
    assert not token_labels(ids, info, words_tokenizer).any()


@hypothesis_settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(STYLES), st.integers(0, 5), st.integers(0, 99))
def test_one_wrong_reading_is_the_only_root_and_all_else_that_is_wrong_follows(
    words_tokenizer, seed, style, step, choice
) -> None:
    example = make_example(seed)
    words = example.question.words(example.grid)
    true = words[step // 3][step % 3].split()
    others = [f"{colour} {true[1]}" for colour in chain.VALUES if colour not in (true[0], "empty")]
    others += [f"{true[0]} {shape}" for shape in ("circle", "square", "triangle") if shape != true[1]]
    words[step // 3][step % 3] = others[choice % len(others)]
    wrong = example.question.write(words, style)
    assert len(labelled(wrong, ROOT, example) + labelled(wrong, COMPENSATION, example)) == 1
    assert min(field[0] for field in labelled(wrong, ROOT, example)) == step
    assert all(field[0] >= step for field in labelled(wrong, CONSEQUENCE, example))

    ids, info = words_tokenizer.encode(wrong + END_TOKEN), example.extra_info()
    labels, mask = token_labels(ids, info, words_tokenizer), error_mask(ids, info, words_tokenizer)
    assert labels.shape == mask.shape == (len(ids),)
    assert mask[labels != RIGHT].all()  # no compensation by a slip here: what is labelled is false
    assert exact_repair(wrong, info) == data.right_text(example, style)
    assert judge(example, wrong).first_error == "cell"


def test_an_early_reading_carries_through() -> None:
    words = EXAMPLE.question.words(EXAMPLE.grid)
    words[0][0] = "red triangle"
    wrong = EXAMPLE.question.write(words, "spoken")
    assert labelled(wrong, ROOT) == [(0, "shape", "triangle")]
    later = {field[0] for field in labelled(wrong, CONSEQUENCE)}
    assert later == {0, 1, 2, 3, 4, 5, 6} and not labelled(wrong, COMPENSATION)


def test_a_slip_is_a_root_and_a_slip_back_a_compensation() -> None:
    slip = RIGHT_TEXT.replace("by 3 to 9", "by 3 to 8").replace("from 9 by 0 to 9", "from 8 by 0 to 9")
    assert labelled(slip, ROOT) == [(1, "after", "8")]
    assert labelled(slip, CONSEQUENCE) == [(2, "before", "8")]
    assert labelled(slip, COMPENSATION) == [(2, "after", "9")]
    assert judge(EXAMPLE, slip).right  # the smallest repair would find nothing to do, the causal one does


def test_a_reading_that_undoes_an_error_is_a_compensation() -> None:
    words = EXAMPLE.question.words(EXAMPLE.grid)
    words[0][0], words[0][1] = "green circle", "green square"  # one too many, then one too few
    wrong = EXAMPLE.question.write(words, "spoken")
    assert labelled(wrong, ROOT) == [(0, "colour", "green")]
    assert labelled(wrong, COMPENSATION) == [(1, "colour", "green")]
    assert labelled(wrong, CONSEQUENCE) == [(0, "value", "2"), (0, "after", "7"), (1, "before", "7"), (1, "value", "2")]
    assert judge(EXAMPLE, wrong).right


@pytest.mark.parametrize(
    ("said", "instead", "kind"),
    [("top left", "top right", "place"), ("red circle so go up", "red circle so go down", "direction")]
    + [("by 3", "by 4", "number"), ("{3}", "{4}", "answer"), ("blue square", "blue circle", "cell")],
)
def test_kinds_of_first_errors(said: str, instead: str, kind: str) -> None:
    assert judge(EXAMPLE, RIGHT_TEXT.replace(said, instead, 1)).first_error == kind


def test_wrong_place_is_a_root() -> None:
    assert labelled(RIGHT_TEXT.replace("top left", "top right"), ROOT) == [(0, "column", "right")]
    assert labelled(RIGHT_TEXT.replace("{3}", "{4}"), ROOT) == [(6, "answer", "4")]


@pytest.mark.parametrize(
    "response",
    ["", "\\boxed{3}", RIGHT_TEXT + "\n", RIGHT_TEXT.replace("shows", "has", 1), RIGHT_TEXT.partition("\n")[2]]
    + [data.right_text(EXAMPLE, "sums").replace("5 + 1", "5 - 1")],
)
def test_malformed_responses_have_no_truth(words_tokenizer, response: str) -> None:
    info = EXAMPLE.extra_info()
    assert exact_repair(response, info) is None and statement_labels(response, info) is None
    assert token_labels(words_tokenizer.encode(response), info, words_tokenizer) is None
    assert not judge(EXAMPLE, response).well_formed


def test_the_first_world_has_no_labels(words_tokenizer) -> None:
    first = next(data.examples("rl_val", 1, WORLDS["count"]))
    assert statement_labels(data.preferred(first), first.extra_info()) is None
    assert LABELS[ROOT] == "root"


def test_rows_keep_the_question(tmp_path: Path) -> None:
    assert data.write_rl_data(tmp_path, SETTINGS) == {"train": 6, "val": 4}
    rows = pd.read_parquet(tmp_path / "train.parquet").to_dict("records")
    for row, example in zip(rows, data.examples("rl_train", 6, SETTINGS), strict=True):
        assert question_of(row["extra_info"]) == example.question
        assert row["reward_model"]["ground_truth"] == example.answer()
    assert data.write_policy_sft_data(tmp_path / "sft.parquet", SETTINGS) == 40
    turns = pd.read_parquet(tmp_path / "sft.parquet")["messages"]
    assert {chain.parse(turn[1]["content"])[0] for turn in turns} == set(STYLES)
