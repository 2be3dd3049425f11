# SPDX-License-Identifier: Apache-2.0
"""verl's SFT trainer with a time ledger, so that a budget can count all of a repair model's training."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from verl.trainer.sft_trainer import SFTTrainer

from verl_df.ledger.rows import Parts, step_row
from verl_df.ledger.spent import Ledger


class StepClock:
    """Seconds of the steps of a loop that also validates and saves: what falls to these is no part of a step."""

    def __init__(self) -> None:
        self._free = time.perf_counter()
        self.update = self.wall = 0.0

    def beside(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, not counted."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = work(*arguments, **named)
            self._free = time.perf_counter()
            return result

        return wrapped

    def step(self, work: Callable[..., Any], done: Callable[[], object]) -> Callable[..., Any]:
        """`work`, the update of a step, which began when the last thing ended; `done` is called after it."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = work(*arguments, **named)
            end = time.perf_counter()
            self.update, self.wall, self._free = end - start, end - self._free, end
            done()
            return result

        return wrapped


class AccountedSFTTrainer(SFTTrainer):
    """The only difference from `SFTTrainer`: the first rank writes a row of the ledger after each step, into
    `trainer.default_local_dir`. Waiting is for data.
    """

    def fit(self) -> None:
        self._clock, self._step = StepClock(), self.resume_global_step
        if self.rank == 0:
            self._ledger = Ledger(Path(self.config.trainer.default_local_dir), self._step)
        client, checkpoints = self.training_client, self.ckpt_handler
        client.train_batch = self._clock.step(client.train_batch, self._write)
        client.infer_batch = self._clock.beside(client.infer_batch)
        checkpoints.save_checkpoint = self._clock.beside(checkpoints.save_checkpoint)
        super().fit()

    def _write(self) -> None:
        self._step += 1
        if self.rank == 0:
            known = Parts(update=self._clock.update)
            devices = torch.distributed.get_world_size()
            self._ledger.write(step_row(self._step, self._clock.wall, known, devices=devices))
