# SPDX-License-Identifier: Apache-2.0
"""Wrong characters of a response, and the tokens that hold them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests import ROOT
from verl_df.cli import main
from verl_df.lab.explain.rows import make_groups, read_rows
from verl_df.lab.explain.spans import marked, without_gaps
from verl_df.lab.explain.units import Numbers, Pieces, Tokens, Units, open_units

WORLD = str(ROOT / "examples/toy/world/policy")


def byte_level(trims: bool) -> Units:
    """A byte-level tokenizer as Qwen's: NFC, words with the blank before them; offsets with these blanks or not."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "c"), ("Ġc", "a"), ("Ġca", "t")]
    vocabulary = [*alphabet, *("".join(pair) for pair in merges), "<|end|>"]
    bpe = Tokenizer(models.BPE({token: number for number, token in enumerate(vocabulary)}, merges))
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.post_processor = processors.ByteLevel(trim_offsets=trims)
    bpe.decoder = decoders.ByteLevel()
    return Tokens(PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>"))


UNITS = {
    "toy": open_units(WORLD, None, ids_only=True),
    "byte level": byte_level(trims=False),
    "byte level, trimmed": byte_level(trims=True),
    "words": Pieces("words"),
    "characters": Pieces("characters"),
}
LETTERS = st.one_of(st.sampled_from("cat \n\té🦊e\u0301中,0"), st.characters(codec="utf-8"))
TEXTS = st.text(alphabet=LETTERS, max_size=40)


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    text = draw(TEXTS.filter(bool))
    bounds = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True)
    return text, [tuple(sorted(pair)) for pair in draw(st.lists(bounds, max_size=3))]


@pytest.mark.parametrize("name", UNITS)
@given(given=texts_with_spans(), finished=st.booleans())
def test_marked_tokens_hold_the_marked_characters_and_no_others(
    name: str, given: tuple[str, list[tuple[int, int]]], finished: bool
) -> None:
    text, spans = given
    units = UNITS[name]
    extents, ids = units.extents(text, finished), units.encode(text, finished)
    mask = marked(spans, extents)
    assert len(extents) == len(ids) == len(mask)
    wrong = {place for start, end in spans for place in range(start, end)}
    held = [set(range(start, end)) for start, end in extents]
    assert set().union(*held) == set(range(len(text)))
    for token, is_marked in zip(held, mask, strict=True):
        assert bool(token & wrong) == bool(is_marked)
    covered = set().union(*(token for token, is_marked in zip(held, mask, strict=True) if is_marked), set())
    assert wrong <= covered


@pytest.mark.parametrize("name", ["toy", "byte level", "words", "characters"])
@given(text=st.text(alphabet="cat in 07.\n", max_size=40))
def test_of_plain_text_a_token_stands_for_its_own_text(name: str, text: str) -> None:
    units = UNITS[name]
    parts = [text[start:end] for start, end in units.extents(text, finished=False)]
    assert parts == units.texts(units.encode(text, finished=False))


@pytest.mark.parametrize(
    ("offsets", "length", "expected"),
    [
        ([(0, 3), (4, 7)], 7, [(0, 3), (3, 7)]),  # the blank belongs to the word after it
        ([(0, 3)], 5, [(0, 5)]),
        ([(1, 2), (1, 2), (2, 3)], 3, [(0, 2), (1, 2), (2, 3)]),  # a character of two tokens
        ([], 0, []),
    ],
)
def test_gaps_of_offsets(offsets: Sequence[tuple[int, int]], length: int, expected: list[tuple[int, int]]) -> None:
    assert without_gaps(offsets, length) == expected


def written(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


RIGHT = {"uid": "a", "reward": 1, "response": "x is 2, I say"}
WRONG = {"uid": "a", "reward": 0, "response": "x is 3, I say", "wrong_spans": [[5, 6]]}


def test_spans_are_the_truth_of_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repaired = WRONG | {"repair": RIGHT["response"], "repair_reward": 1}
    path = written(tmp_path / "rows.jsonl", RIGHT, repaired)
    (group,) = make_groups(path, read_rows(path), open_units(WORLD, None, ids_only=False), 0)
    ((ids, truth),) = group.truths.items()
    tokens = open_units(WORLD, None, ids_only=False).texts(ids)
    assert [token for token, is_wrong in zip(tokens, truth, strict=True) if is_wrong] in (["3"], [" 3"])
    for arguments in ([], ["--tokenizer", WORLD]):
        assert main(["explain", str(path), *arguments]) == 0
        told = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines() if line.startswith("mask "))
        assert (told["mask precision"], told["mask recall"]) == ("1", "1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wrong_spans": [[5, 40]]}, "'wrong_spans' has [5, 40]: write [start, end] with 0 <= start < end <= 13"),
        ({"wrong_spans": [[-1, 3]]}, "'wrong_spans' has [-1, 3]"),
        ({"wrong_spans": [[5, 5]]}, "'wrong_spans' has [5, 5]"),
        ({"wrong_spans": [[1, 2, 3]]}, "'wrong_spans' has [1, 2, 3]"),
        ({"wrong_spans": [5, 6]}, "wrong_spans.0"),
        ({"truth_mask": [0, 1]}, "give either 'truth_mask', of tokens, or 'wrong_spans', of characters"),
        ({"response": None, "token_ids": [1]}, "'wrong_spans' counts characters of 'response', a text"),
    ],
)
def test_wrong_rows(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = written(tmp_path / "rows.jsonl", RIGHT, WRONG | change)
    with pytest.raises(ValueError, match=r"rows.jsonl, line 2: ") as error:
        read_rows(path)
    assert said in str(error.value)


def test_units_that_have_no_characters(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--tokenizer"):
        Numbers().extents("x")

    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="write 'token_ids' and 'truth_mask'"):
        Tokens(Slow()).extents("x")
