# SPDX-License-Identifier: Apache-2.0
"""What W&B and TensorBoard show of a run, through verl's own interface."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import verl.utils.tracking as tracking
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from verl_df.adapters.trackers import COLUMNS, TABLE, TABLE_ROWS, DFTracking, grouped, marked
from verl_df.method.records import PairRecord, TokenSide

CONFIG = {"df": {"repair": {"n": 2}}, "trainer": {"project_name": "é"}}
METRICS = {"df/repair/draft_tokens": 3.0, "df/density": 0.5, "actor/loss": 1.0}


def side(text: str, mask: str) -> TokenSide:
    numbers = tuple(map(int, mask))
    return TokenSide(tuple(range(len(text))), tuple(text), numbers, tuple(map(float, numbers)), 0.0)


def pair(number: int, repaired: bool = True) -> PairRecord:
    return PairRecord(
        step=2,
        uid=f"u{number}",
        prompt="# How many?\n![x](http://example.org/x.png)",
        images=(),
        ground_truth="2",
        reference="two",
        reference_kind="sibling",
        error=side("ab3", "001"),
        repair=side("ab2", "001") if repaired else None,
        edit_distance=1 if repaired else None,
        edit_ratio=0.3 if repaired else None,
        truth_mask=None,
        rejections=(None,) if repaired else ("wrong",),
    )


def test_verl_uses_it() -> None:
    assert tracking.Tracking is DFTracking


def test_sections() -> None:
    assert grouped(METRICS) == {"df_repair/draft_tokens": 3.0, "df/density": 0.5, "actor/loss": 1.0}
    assert grouped({"df/a/b/c": 1, "df": 2, "dfx/a/b": 3}) == {"df_a/b/c": 1, "df": 2, "dfx/a/b": 3}


@given(st.text("01", min_size=1))
def test_brackets_stand_around_masked_tokens(mask: str) -> None:
    text = marked(side("x" * len(mask), mask))
    assert text.replace("⟦", "").replace("⟧", "") == "x" * len(mask)
    inside = [part.partition("⟧")[0] for part in text.split("⟦")[1:]]
    assert [len(part) for part in inside] == [len(run) for run in mask.split("0") if run]


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path))
    logger = DFTracking("project", "experiment", ["tensorboard"], CONFIG)
    logger.log_pairs([], step=1)
    logger.log_pairs([pair(number) for number in range(TABLE_ROWS + 1)], step=2)
    logger.log(METRICS, step=2)
    logger.finish()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == set(grouped(METRICS))
    assert events.Scalars("df_repair/draft_tokens")[0].value == 3.0

    def text(tag: str) -> tuple[int, str]:
        (event,) = events.Tensors(f"{tag}/text_summary")
        return event.step, event.tensor_proto.string_val[0].decode()

    assert json.loads(text("run/config")[1]) == CONFIG
    assert json.loads(text("run/versions")[1])["verl"] == "0.9.1"
    step, table = text(TABLE)
    assert step == 2 and table.count("uid: ") == TABLE_ROWS and "error: ab⟦3⟧" in table
    assert all(line.startswith("    ") for line in table.splitlines())  # a block of code, and so no markup


class FakeWandb(SimpleNamespace):
    """The part of the W&B module that verl and this tracker call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.config = SimpleNamespace(update=lambda new, allow_val_change: self.calls.append(("config", new)))

    def init(self, **kwargs: Any) -> None:
        self.calls.append(("init", kwargs["config"]))

    def log(self, data: dict[str, Any], step: int) -> None:
        self.calls.append(("log", (data, step)))

    def finish(self, exit_code: int) -> None:
        self.calls.append(("finish", exit_code))

    def Table(self, columns: list[str], data: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:  # noqa: N802
        return columns, data


def test_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    logger = DFTracking("project", "experiment", "wandb", CONFIG)
    logger.log_pairs([pair(0), pair(1, repaired=False)], step=2)
    logger.log(METRICS, step=2)
    logger.finish()
    (_, config), (_, versions), (_, (table, at)), logged, finished = wandb.calls
    assert config == CONFIG and versions["versions"]["verl"] == "0.9.1"
    columns, rows = table[TABLE]
    prompt = pair(0).prompt
    assert at == 2 and columns == list(COLUMNS)
    assert rows == [
        [2, "u0", prompt, "two", "ab⟦3⟧", "ab⟦2⟧", 0.0, 1, ""],
        [2, "u1", prompt, "two", "ab⟦3⟧", None, 0.0, None, "wrong"],
    ]
    assert logged == ("log", (grouped(METRICS), 2)) and finished == ("finish", 0)


def test_other_backends_get_the_names_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "metrics.jsonl"))
    DFTracking("project", "experiment", ["file"]).log(METRICS, step=1)
    assert "df/repair/draft_tokens" in (tmp_path / "metrics.jsonl").read_text()
