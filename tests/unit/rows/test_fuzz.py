# SPDX-License-Identifier: Apache-2.0
"""Rows of any content: the check and the conversion either take them or name what is wrong, and never anything else."""

import copy
import datetime
import decimal
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lab.data.support import ROWS, picture, rows_of, run
from tests.unit.rows.pictures import damaged, encode, noise, readable
from verl_df.lab.data.checks import check_sample
from verl_df.lab.data.images import Files
from verl_df.lab.data.own_jsonl import own_source
from verl_df.lab.data.prompts import compose
from verl_df.lab.data.rows import build_row
from verl_df.lab.data.sources import SOURCES
from verl_df.lab.rl_data import RLData
from verl_df.rows.check import RowRules, check_row
from verl_df.rows.faults import RowError

OWN = {"id": "1", "image": "a.png", "question": "How many?", "choices": ["a", "b"], "answer": "A"}
RL = {
    "data_source": "test",
    "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": "<image>How many?"}],
    "images": [{"bytes": picture(1), "path": None}],
    "reward_model": {"style": "rule", "ground_truth": "3"},
    "extra_info": {"index": 0, "cells": [["a"], ["b"]]},
}
NOISY = encode(noise("RGB", (40, 30)), "PNG")
URL = "data:image/png;base64,"
TEXTS = [
    *("", " ", "a", "\0", "\ud800", "\ufeff", "\r", "\r\n", "\u202e", "nan", "1e999", "$$", "\\boxed{", "[1", "['a'"),
    *("(" * 300, "-" * 5000, "9" * 400, "{" * 200, "é" * 5000, "A" * 100, URL, f"{URL}AAAA", "Options: A: "),
    *("<image>", "<video>", "<|im_end|>", "http://127.0.0.1:9/x", "/etc/hostname", "../../x", "file:///etc/hostname"),
]
VALUES = [
    *(None, float("nan"), float("inf"), -float("inf"), True, 0, -1, 2.5, 10**30, -(10**400)),
    *(
        datetime.date(2020, 1, 1),
        decimal.Decimal("1.5"),
        b"",
        b"\x89PNG\r\n\x1a\n",
        picture(2),
        [],
        [[]],
        [None],
        {},
        [{}],
    ),
    *(
        {"bytes": None},
        {"bytes": b"x", "path": None},
        {"path": "a.png"},
        {"bytes": "x"},
        {"image": 3},
        {"type": "video"},
    ),
    *({"ground_truth": float("nan")}, *TEXTS, *damaged().values(), *list(readable().values())[::9]),
]


def mutated(row: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A row of which one to three values, at any depth, are others, or broken at a byte."""
    row = copy.deepcopy(dict(row))
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder: Any = row
        key: Any = rng.choice(sorted(holder))
        while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.7:
            holder = holder[key]
            key = rng.choice(sorted(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        value = holder[key]
        if isinstance(value, bytes) and value and rng.random() < 0.8:
            holder[key] = broken(rng.choice((value, NOISY)), rng)
        elif isinstance(value, str) and rng.random() < 0.3:
            holder[key] = value + rng.choice(TEXTS)
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return row


def broken(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randint(1, len(changed))]) if rng.random() < 0.2 else bytes(changed)


def outcomes(rows: int, seed: str, make: Callable[[random.Random], Any], *ours: type[Exception]) -> Counter[str]:
    """What became of each: reasons, and those that passed under ""."""
    found: Counter[str] = Counter()
    for number in range(rows):
        rng = random.Random(f"{seed} {number}")
        try:
            make(rng)
            found[""] += 1
        except ours as error:
            assert str(error), number
            found[str(error.reason) if isinstance(error, RowError) else "stops"] += 1
    return found


def test_rl_rows_pass_or_are_named(tmp_path: Path) -> None:
    found = outcomes(4000, "rl", lambda rng: check_row(mutated(RL, rng), RowRules(tmp_path)), RowError)
    assert found[""] > 100 and len(found) >= 7


@pytest.mark.parametrize("name", [*SOURCES, "own"])
def test_rows_of_a_source_are_made_or_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verl_df.lab.data.checks.compute_score", lambda *_: {"score": 1.0})  # has its own tests
    for place in ("a.png", "images/set/3.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(picture(1))
    files = Files(tmp_path)
    source = own_source("own") if name == "own" else SOURCES[name]
    plain = OWN if name == "own" else ROWS[name]

    def make(rng: random.Random) -> None:
        sample = source.sample(mutated(plain, rng), files)
        prompt = compose(sample, source.prompt, "")
        row = build_row(sample, prompt, data_source=name, ability="vqa", name="1", split="train", index=0)
        check_sample(sample, row, 1)

    found = outcomes(400, name, make, RowError)
    assert found.total() == 400 and found[""] >= 20 and len(found) >= 3


def test_a_file_of_odd_rows_is_converted_to_rows_that_verl_can_read(tmp_path: Path) -> None:
    """From the command line on: exit code 0, each row kept or named, what is kept passes everybody's check."""
    (tmp_path / "a.png").write_bytes(picture(1))
    rng, lines = random.Random(0), []
    while len(lines) < 300:
        row = mutated({**OWN, "choices": None, "answer": "3"}, rng)
        try:
            lines.append(json.dumps(row))
        except TypeError:  # bytes, dates: not of JSON
            continue
    path = tmp_path / "odd.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert run("convert", "jsonl", "--from", path, "--name", "odd", "--out", tmp_path / "out") == 0
    kept = rows_of(tmp_path / "out/odd_train.parquet")
    dropped = (tmp_path / "out/odd_train.dropped.jsonl").read_text().splitlines()
    assert len(kept) + len(dropped) == 300 and len(kept) > 20
    assert "nan" not in {row["reward_model"]["ground_truth"] for row in kept if row["extra_info"]["answer"] != "nan"}
    RLData(tmp_path / "out/odd_train.parquet").check(range(len(kept)))
