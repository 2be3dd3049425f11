# SPDX-License-Identifier: Apache-2.0
"""The ledger of supervised training, with verl's loop and its work replaced."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.sft_trainer import SFTTrainer

from verl_df.adapters.accounted_sft import AccountedSFTTrainer
from verl_df.ledger.spent import LEDGER_FILE, read_rows

LOADING_S, UPDATE_S, BESIDE_S = 0.01, 0.02, 0.05


def works(seconds: float, calls: list[str], name: str) -> Any:
    def work(*arguments: Any, **named: Any) -> str:
        calls.append(name)
        time.sleep(seconds)
        return name

    return work


def train(folder: Path, first: int, last: int, rank: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps after `first` up to `last`, each with validation and saving. Returns what was done, in order."""
    calls: list[str] = []

    def fit(self: Any) -> None:
        for _ in range(first, last):
            time.sleep(LOADING_S)
            assert self.training_client.train_batch(data={}) == "update"
            assert self.training_client.infer_batch({}) == "validate"
            self.ckpt_handler.save_checkpoint(step=0)

    monkeypatch.setattr(SFTTrainer, "fit", fit)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    trainer = object.__new__(AccountedSFTTrainer)
    trainer.config = OmegaConf.create({"trainer": {"default_local_dir": str(folder)}})
    trainer.resume_global_step, trainer.rank = first, rank
    update, validate = works(UPDATE_S, calls, "update"), works(BESIDE_S, calls, "validate")
    trainer.training_client = SimpleNamespace(train_batch=update, infer_batch=validate)
    trainer.ckpt_handler = SimpleNamespace(save_checkpoint=works(BESIDE_S, calls, "save"))
    trainer.fit()
    return calls


def test_a_row_a_step_without_validation_and_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.perf_counter()
    assert train(tmp_path, 0, 3, 0, monkeypatch) == ["update", "validate", "save"] * 3
    wall, rows = time.perf_counter() - start, read_rows(tmp_path)
    assert [row.step for row in rows] == [1, 2, 3]
    for row in rows:
        assert row.seconds.update >= UPDATE_S and row.seconds.waiting >= LOADING_S
        assert row.seconds.total == pytest.approx(row.seconds.update + row.seconds.waiting)
        assert row.devices == 4 and row.device_seconds.total == pytest.approx(4 * row.seconds.total)
    assert sum(row.seconds.total for row in rows) <= wall - 6 * BESIDE_S


def test_a_run_that_goes_on_counts_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, 0, 3, 0, monkeypatch)
    before = read_rows(tmp_path)
    train(tmp_path, 2, 4, 0, monkeypatch)
    after = read_rows(tmp_path)
    assert [row.step for row in after] == [1, 2, 3, 4] and after[:2] == before[:2] and after[2] != before[2]


def test_only_the_first_rank_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, 0, 1, 1, monkeypatch)
    assert not (tmp_path / LEDGER_FILE).exists()
