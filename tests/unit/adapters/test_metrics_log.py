# SPDX-License-Identifier: Apache-2.0
"""verl's file logger in a run that goes on: every step once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import verl.utils.tracking as tracking

from verl_df.adapters.metrics_log import GoingOnFileLogger


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "metrics.jsonl"))
    return tmp_path / "metrics.jsonl"


def run(*entries: tuple[int, dict[str, Any]]) -> None:
    """A run that logs these, through verl's own interface."""
    logger = tracking.Tracking("project", "experiment", "file")
    for step, data in entries:
        logger.log(data, step)


def logged(metrics: Path) -> list[tuple[int, dict[str, Any]]]:
    return [(entry["step"], entry["data"]) for entry in map(json.loads, metrics.read_text().splitlines())]


def test_verl_uses_it() -> None:
    assert tracking.FileLogger is GoingOnFileLogger


def test_a_run_that_goes_on_keeps_the_steps_before_its_checkpoint(metrics: Path) -> None:
    run((0, {"acc": 0.1}), (1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 0.4}))
    run((3, {"loss": 0.3}), (4, {"loss": np.float32(0.25)}))
    assert logged(metrics) == [
        (0, {"acc": 0.1}),
        (1, {"loss": 1.0}),
        (2, {"loss": 0.5}),
        (3, {"loss": 0.3}),
        (4, {"loss": 0.25}),
    ]


def test_the_validation_before_training_joins_what_the_step_had_logged(metrics: Path) -> None:
    run((1, {"loss": 1.0}), (2, {"loss": 0.5, "acc": 0.2}), (3, {"loss": 0.4}))
    run((2, {"acc": 0.3}), (3, {"loss": 0.35}))
    assert logged(metrics) == [(1, {"loss": 1.0}), (2, {"loss": 0.5, "acc": 0.3}), (3, {"loss": 0.35})]


@pytest.mark.parametrize("first", [0, 1])
def test_a_run_from_scratch_keeps_nothing(metrics: Path, first: int) -> None:
    run((0, {"old": 1}), (1, {"old": 1}), (2, {"old": 1}))
    run((first, {"new": 2}), (2, {"new": 3}))
    assert logged(metrics) == [(first, {"new": 2}), (2, {"new": 3})]


def test_half_a_line_of_a_killed_run_is_cut_off(metrics: Path) -> None:
    run((1, {"loss": 1.0}), (2, {"loss": 0.5}))
    with metrics.open("a") as file:
        file.write('{"step": 3, "data": {"lo')
    run((3, {"loss": 0.3}))
    assert [step for step, _ in logged(metrics)] == [1, 2, 3]


def test_nothing_is_lost_before_the_first_entry(metrics: Path) -> None:
    """A run that goes on and is stopped again while it still loads."""
    run((1, {"loss": 1.0}), (2, {"loss": 0.5}))
    run()
    run((3, {"loss": 0.3}))
    assert [step for step, _ in logged(metrics)] == [1, 2, 3]


def test_another_file_is_not_taken_for_metrics(metrics: Path) -> None:
    metrics.write_text("no metrics\n")
    with pytest.raises(ValueError, match="metrics.jsonl, line 1"):
        run((3, {"loss": 0.3}))


def test_the_default_file_is_verls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERL_FILE_LOGGER_PATH", raising=False)
    monkeypatch.setenv("VERL_FILE_LOGGER_ROOT", str(tmp_path))
    run((1, {"loss": 1.0}))
    assert (tmp_path / "project/experiment.jsonl").is_file()
