# SPDX-License-Identifier: Apache-2.0
"""`verl-df align`."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import ROOT
from verl_df.cli import main
from verl_df.lab.explain.align import Response
from verl_df.lab.explain.draw import BLANK, BORDER, LINE_END, TAB, coloured, draw, shown
from verl_df.lab.explain.units import Numbers, Pieces, Tokens
from verl_df.method.alignment import align
from verl_df.method.gates import GateConfig, build_gate

WORLD = str(ROOT / "examples/toy/world/policy")
WRONG, REPAIR = "top: triangle circle square* +1 =1", "top: triangle square* +1 =2"


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["align", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@given(st.text(), st.sampled_from(["words", "characters"]))
def test_pieces_lose_nothing(text: str, split: str) -> None:
    pieces = Pieces(split)
    assert pieces.decode(pieces.encode(text)) == text


@given(st.text(alphabet="ab \n"), st.text(alphabet="ab \n"))
def test_the_drawing_holds_both_responses(before: str, after: str) -> None:
    """Without what was added it is y, without what was removed ŷ."""
    pieces = Pieces("characters")
    y, y_hat = pieces.encode(before), pieces.encode(after)
    alignment = align(y, y_hat)
    sides = [
        Response(ids, tuple(pieces.texts(ids)), tuple(map(int, mask)), tuple(map(float, mask)))
        for ids, mask in ((y, alignment.error_mask), (y_hat, alignment.repair_mask))
    ]
    drawn = draw(*sides, alignment, colour=False)
    text = re.split(r"\n?  [yŷ] \d", drawn, maxsplit=1)[0].replace("\n", "").replace(BORDER, "")
    for other, wanted in ((r"\{\+.*?\+\}", before), (r"\[-.*?-\]", after)):
        kept = re.sub(r"[\[\]{}<>+-]", "", re.sub(other, "", text))
        assert kept == wanted.replace(" ", BLANK).replace("\n", LINE_END)


def test_hidden_characters_and_white_space_are_shown() -> None:
    assert shown("a b\tc\n") == f"a{BLANK}b{TAB}c{LINE_END}\n"
    assert shown("\x1b[31m\u202e\u200b\xa0\u3000\r") == r"\x1b[31m\u202e\u200b\xa0\u3000\x0d"
    assert shown(BLANK + BORDER) == r"\u2423\u258f"  # those of the text are told from ours


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    assert not coloured(stream)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert coloured(stream)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(stream)


def test_colours_take_the_place_of_brackets() -> None:
    pieces = Pieces("words")
    y, y_hat = pieces.encode("a b"), pieces.encode("a c")
    alignment = align(y, y_hat)
    sides = [Response(ids, tuple(pieces.texts(ids)), (0, 1), (0.0, 1.0)) for ids in (y, y_hat)]
    first, *_ = draw(*sides, alignment, colour=True).split("\n")
    assert first == f"a{BORDER}\x1b[31;9m{BLANK}b\x1b[0m{BORDER}\x1b[32m{BLANK}c\x1b[0m"


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ([], GateConfig()),
        (["--kind", "soft", "--alpha", "0.5", "--tau", "segment_centre"], None),
        (["--level", "step", "--step-separator", "sentence"], None),
        (["--segments", "first"], None),
    ],
    ids=str,
)
def test_the_toys_tokens_are_aligned_as_in_training(options, config, capsys) -> None:
    from transformers import AutoTokenizer

    from verl_df.method.gates import Level, split_steps

    given_names = dict(zip((one[2:].replace("-", "_") for one in options[::2]), options[1::2], strict=True))
    if "alpha" in given_names:
        given_names["alpha"] = float(given_names["alpha"])
    config = config or GateConfig(**given_names)
    told = as_json(capsys, "--text", WRONG, REPAIR, "--tokenizer", WORLD, *options)
    tokenizer = AutoTokenizer.from_pretrained(WORLD)
    y, y_hat = ([*tokenizer.encode(text), tokenizer.eos_token_id] for text in (WRONG, REPAIR))
    alignment = align(y, y_hat)
    assert (told["distance"], told["edit_ratio"]) == (alignment.distance, alignment.edit_ratio) == (2, 2 / len(y))
    assert [tuple(edit.values()) for edit in told["edits"]] == [tuple(edit) for edit in alignment.edits]
    for side, ids, mask in (
        (told["error"], y, alignment.error_mask),
        (told["repair"], y_hat, alignment.repair_mask),
    ):
        steps = split_steps([tokenizer.decode([one]) for one in ids], config.step_separator)
        gate = build_gate(mask, config, step_ids=steps if config.level is Level.STEP else None)
        assert side["token_ids"] == ids and side["mask"] == mask.astype(int).tolist()
        assert side["gate"] == pytest.approx(gate.tolist(), abs=1e-4)
        assert "".join(side["tokens"]) == tokenizer.decode(ids)


def test_files_of_token_ids(capsys, tmp_path: Path) -> None:
    (tmp_path / "y.json").write_text("[5, 6, 7]")
    (tmp_path / "z.json").write_text("[5, 8, 7]")
    told = as_json(capsys, str(tmp_path / "y.json"), str(tmp_path / "z.json"))
    assert told["error"] == {"token_ids": [5, 6, 7], "tokens": ["5", "6", "7"], "mask": [0, 1, 0], "gate": [0, 1, 0]}
    (tmp_path / "y.txt").write_text("a b", encoding="utf-8")
    assert main(["align", str(tmp_path / "y.txt"), str(tmp_path / "z.json")]) == 1
    assert "z.json: token ids beside texts" in capsys.readouterr().err


def test_words_have_no_ids(capsys) -> None:
    assert as_json(capsys, "--text", "a b", "a c")["error"] == {"tokens": ["a", " b"], "mask": [0, 1], "gate": [0, 1]}


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("y.txt", b"one\ntw\xff", [], "y.txt, line 2: not UTF-8"),
        ("y.json", b"[1, 2", [], "y.json: not JSON"),
        ("y.json", b'[1, "a"]', [], "y.json: token ids are a JSON list of whole numbers"),
        ("y.json", b"[1, -2]", [], "token ids must be at least 0"),
        ("y.json", b"[1, 99999999]", ["--tokenizer", WORLD], "y.json: token id 99999999: the tokenizer has"),
        ("y.json", b"[1]", ["--level", "step"], "there are only token ids: give --tokenizer"),
        ("y.txt", b"a", ["--alpha", "-1"], "alpha=-1.0: must be at least 0"),
        ("y.txt", b"a", ["--method", "lcs", "--backend", "python-levenshtein"], "has no LCS"),
        ("y.txt", b"a", ["--tokenizer", WORLD, "--split", "words"], "--split words is for texts without a tokenizer"),
    ],
)
def test_bad_input_is_one_line(name, content, options, said, capsys, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["align", str(tmp_path / name), str(tmp_path / name), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


def test_what_no_tokenizer_reads() -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        Tokens(None).encode("\ud83d")
    with pytest.raises(ValueError, match="a text beside token ids"):
        Numbers().encode("a")
