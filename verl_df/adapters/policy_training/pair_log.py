# SPDX-License-Identifier: Apache-2.0
"""Writes the error/repair pairs of a run, with their images, for the report and for people."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig

from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow
from verl_df.adapters.prompt_content import IMAGES_FOLDER, prompt_text, save_media
from verl_df.io.json_lines import cut_half_line
from verl_df.io.lines import Lines, RecordWriter
from verl_df.method.feedback import RepairAttempt
from verl_df.method.group_records import GroupRecord
from verl_df.method.records import PAIRS, PairRecord, pair_record
from verl_df.method.token_arrays import TokenArrays
from verl_df.settings.config import DFConfig

PAIRS_FILE = "pairs.jsonl"


def log_folder(config: DictConfig, df: DFConfig) -> Path:
    """Where a run leaves what is not verl's."""
    return Path(df.log.dir or Path(config.trainer.default_local_dir) / "df")


Stepped = TypeVar("Stepped", PairRecord, TokenArrays, GroupRecord)


def kept_records(path: Path, lines: Lines[Stepped], step: int) -> Iterator[Stepped]:
    """Set a file of an earlier run aside, as NAME.1.jsonl, NAME.2.jsonl, ...; its records up to `step` (0: none)."""
    if not path.exists():
        return
    aside = path.with_name(f"{path.stem}.{len(list(path.parent.glob(f'{path.stem}.*.jsonl'))) + 1}.jsonl")
    path.rename(aside)
    if step > 0:
        cut_half_line(aside)  # of a run that was killed
        yield from (record for record in lines.read(aside) if record.step <= step)


class PairLog:
    """Appends up to `df.log.pairs_per_step` pairs of a step to `pairs.jsonl`; their images, and a sheet of frames
    for each video, go to `images/`, once each.
    """

    def __init__(self, folder: Path, pairs_per_step: int):
        self._folder, self._limit = folder, pairs_per_step
        self._writer: RecordWriter[PairRecord] | None = None

    @classmethod
    def from_config(cls, config: DictConfig, df: DFConfig) -> "PairLog":
        """The log of a run; nothing is created before the first pair."""
        return cls(log_folder(config, df), df.log.pairs_per_step)

    def start_after(self, step: int) -> None:
        """Keep the pairs of an earlier run in the same folder up to the step that this one goes on from (0: none).

        The steps after it are done again, and would be in the file twice. The file as it was is set aside.
        """
        for record in kept_records(self._folder / PAIRS_FILE, PAIRS, step):
            self._open().write(record)

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
            self._open().write(records[-1])
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

    def _open(self) -> RecordWriter[PairRecord]:
        if self._writer is None:
            self._writer = PAIRS.writer(self._folder / PAIRS_FILE)
        return self._writer
