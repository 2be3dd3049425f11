# SPDX-License-Identifier: Apache-2.0
"""The truth about a response is exact: repair, error mask, reward and verdict agree with the grid."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verl_df.lab.toy import data, text, world
from verl_df.lab.toy.questions import question_of
from verl_df.lab.toy.reward import compute_score
from verl_df.lab.toy.settings import PictureSettings
from verl_df.lab.toy.truth import END_TOKEN, error_mask, exact_repair
from verl_df.lab.toy.verdict import judge


def make_example(seed: int) -> data.Example:
    rng = np.random.default_rng(seed)
    return data.Example("rl_val", seed, world.sample_grid(rng, PictureSettings()), text.sample_question(rng), b"")


def right(example: data.Example, order: str) -> str:
    return text.write_response(text.words_of(example.grid, example.question), example.question, order)


def corrupt(response: str, draw_positions: list[int], draw_words: list[int]) -> str:
    """Replace statements of a right response by others of the same kind, so that the layout stays."""
    parts = re.split(r"(\s)", response)
    facts = [i for i, part in enumerate(parts) if re.fullmatch(r"[a-z]+\*?|[+=]\d|\\boxed\{\d\}", part)]
    for position, word in zip(draw_positions, draw_words, strict=True):
        index = facts[position % len(facts)]
        if parts[index][0].isalpha():
            parts[index] = text.CELL_WORDS[word % len(text.CELL_WORDS)] + "*" * (word % 2)
        else:
            parts[index] = re.sub(r"\d", str(word % 10), parts[index])
    return "".join(parts)


corruptions = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 999)), max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(text.ORDERS)), corruptions)
def test_exact_repair_of_any_corruption(tokenizer, seed, order, edits):
    example = make_example(seed)
    clean = right(example, order)
    wrong = corrupt(clean, [edit[0] for edit in edits], [edit[1] for edit in edits])
    repaired = exact_repair(wrong, example.extra_info())
    assert repaired == clean
    assert text.response_order(repaired) == text.response_order(wrong) == order
    assert compute_score(data.DATA_SOURCE, repaired, example.answer())["score"] == 1.0

    ids = tokenizer.encode(wrong + END_TOKEN)
    mask = error_mask(ids, example.extra_info(), tokenizer)
    assert mask.dtype == np.bool_ and mask.shape == (len(ids),)
    assert mask.any() == (wrong != clean)
    verdict = judge(example, wrong)
    assert verdict.well_formed and verdict.exact == clean
    assert (verdict.first_error is None) == (wrong == clean)
    assert verdict.right == bool(compute_score(data.DATA_SOURCE, wrong, example.answer())["score"])


EXAMPLE = data.Example(
    "rl_val",
    0,
    world.grid_from_lists([["red circle", "blue square", "empty"], ["empty"] * 3, ["red square", "empty", "empty"]]),
    text.Question("colour", ("red",), "How many figures are red?"),
    b"",
)
RIGHT_DOWN = "top: red* blue empty +1 =1\nmiddle: empty empty empty +0 =1\nbottom: red* empty empty +1 =2\n\\boxed{2}"


@pytest.mark.parametrize(
    ("said", "instead", "kind"),
    [("blue", "green", "cell"), ("blue", "blue*", "cell"), ("+0", "+1", "count"), ("=2", "=3", "total")]
    + [("\\boxed{2}", "\\boxed{3}", "answer")],
)
def test_first_error_kinds(said, instead, kind):
    assert right(EXAMPLE, "down") == RIGHT_DOWN
    assert judge(EXAMPLE, RIGHT_DOWN.replace(said, instead)).first_error == kind


def test_error_mask_of_one_wrong_word(tokenizer):
    wrong = RIGHT_DOWN.replace("blue", "green")
    ids = tokenizer.encode(wrong)
    mask = error_mask(ids, EXAMPLE.extra_info(), tokenizer)
    assert [tokenizer.decode([i]) for i, marked in zip(ids, mask, strict=True) if marked] == [" green"]
    assert judge(EXAMPLE, wrong).right  # the answer is right all the same, the cell is not


@pytest.mark.parametrize("response", ["", "\\boxed{3}", "top: red", "top: red blue empty +1 =1\n\\boxed{1}"])
def test_malformed_responses_have_no_truth(tokenizer, response):
    example = make_example(1)
    assert exact_repair(response, example.extra_info()) is None
    assert error_mask(tokenizer.encode(response), example.extra_info(), tokenizer) is None
    assert not judge(example, response).well_formed


def test_extra_info_errors_say_what_is_wrong():
    info = make_example(1).extra_info()
    with pytest.raises(ValueError, match=r"lacks \['grid'\]"):
        question_of({key: value for key, value in info.items() if key != "grid"})
    with pytest.raises(ValueError, match="question_type.*'sum'"):
        question_of({**info, "question_type": "sum"})
    with pytest.raises(ValueError, match="cell 'pink circle'"):
        world.grid_from_lists([["pink circle"] * 3] * 3)
    with pytest.raises(ValueError, match="3 rows of 3 cells"):
        world.grid_from_lists([["empty"] * 3] * 2)


@pytest.mark.parametrize("kind", text.QUESTION_TYPES)
def test_answer_counts_what_the_question_asks(kind):
    rng = np.random.default_rng(5)
    checked = 0
    while checked < 20:
        grid, question = world.sample_grid(rng, PictureSettings()), text.sample_question(rng)
        if question.type != kind:
            continue
        assert all(target in question.text for target in question.targets)
        hits = [[cell and {cell.colour, cell.shape} & set(question.targets) for cell in row] for row in grid]
        expected = sum(any(row) if kind.startswith("rows_") else sum(map(bool, row)) for row in hits)
        assert text.answer(grid, question) == expected
        for order in text.ORDERS:
            assert text.write_response(text.words_of(grid, question), question, order).endswith(f"{{{expected}}}")
        checked += 1
