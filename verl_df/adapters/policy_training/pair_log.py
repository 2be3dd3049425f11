# SPDX-License-Identifier: Apache-2.0
"""Writes the error/repair pairs of a run, with their images, for the report and for people."""

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow
from verl_df.adapters.policy_training.step_log import StepLog
from verl_df.adapters.prompt_content import IMAGES_FOLDER, prompt_text, save_media
from verl_df.method.feedback import RepairAttempt
from verl_df.method.records import PAIRS, PairRecord, pair_record
from verl_df.settings.config import DFConfig

PAIRS_FILE = "pairs.jsonl"


def log_folder(config: DictConfig, df: DFConfig) -> Path:
    """Where a run leaves what is not verl's."""
    return Path(df.log.dir or Path(config.trainer.default_local_dir) / "df")


class PairLog(StepLog[PairRecord]):
    """Appends up to `df.log.pairs_per_step` pairs of a step to `pairs.jsonl`; their images, and a sheet of frames
    for each video, go to `images/`, once each.
    """

    def __init__(self, folder: Path, pairs_per_step: int):
        super().__init__(folder / PAIRS_FILE, PAIRS)
        self._folder, self._limit = folder, pairs_per_step

    @classmethod
    def from_config(cls, config: DictConfig, df: DFConfig) -> "PairLog":
        """The log of a run; nothing is created before the first pair."""
        return cls(log_folder(config, df), df.log.pairs_per_step)

    def write(
        self, step: int, rows: Sequence[GroupRow], answers: Sequence[GroupAnswer], tokenizer: Any
    ) -> list[PairRecord]:
        """Write one step's pairs, the same number from each prompt as far as they go.

        Args:
            step: training step.
            rows: the groups as they were sent.
            answers: one for each.
            tokenizer: the policy's.

        Returns:
            What was written.
        """
        queues = [[(row, attempt) for attempt in answer.attempts] for row, answer in zip(rows, answers, strict=True)]
        in_turn = [pair for pairs in zip_longest(*queues) for pair in pairs if pair is not None]
        records = []
        for row, attempt in in_turn if self._limit < 0 else in_turn[: self._limit]:
            records.append(self._record(step, row, attempt, tokenizer))
            self.append(records[-1])
        return records

    def _record(self, step: int, row: GroupRow, attempt: RepairAttempt, tokenizer: Any) -> PairRecord:
        messages = row.columns["raw_prompt"]
        return pair_record(
            attempt,
            row.request,
            step=step,
            prompt=prompt_text(messages),
            images=save_media(messages, self._folder / IMAGES_FOLDER),
            decode=partial(tokenizer.decode, skip_special_tokens=True),
            token_texts=lambda token_ids: [tokenizer.decode([token]) for token in token_ids],
        )
