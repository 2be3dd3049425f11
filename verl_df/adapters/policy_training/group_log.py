# SPDX-License-Identifier: Apache-2.0
"""Writes groups of a run, for people: all rollouts of a prompt and what became of them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow, fetch_candidates
from verl_df.adapters.policy_training.step_log import StepLog
from verl_df.adapters.prompt_content import IMAGES_FOLDER, prompt_text, save_media
from verl_df.method.group_records import GROUPS, GROUPS_FILE, GroupRecord, group_record


class GroupLog(StepLog[GroupRecord]):
    """Appends up to `df.log.groups_per_step` groups of a step to `groups.jsonl`, those with a wrong rollout first."""

    def __init__(self, folder: Path, limit: int):
        super().__init__(folder / GROUPS_FILE, GROUPS)
        self._folder, self._limit = folder, limit

    def write(self, step: int, rows: Sequence[GroupRow], answers: Sequence[GroupAnswer], tokenizer: Any) -> None:
        """Write one step's groups, in the order of the batch among those that were sent and those that were not.

        Args:
            step: training step.
            rows: the groups as they were sent.
            answers: one for each.
            tokenizer: the policy's.
        """
        groups = sorted(zip(rows, answers, strict=True), key=lambda group: not group[1].attempts)
        if self._limit >= 0:
            groups = groups[: self._limit]
        fetched = fetch_candidates([answer for _, answer in groups])
        for (row, answer), candidates in zip(groups, fetched, strict=True):
            messages = row.columns["raw_prompt"]
            record = group_record(
                row.request,
                answer.attempts,
                {key: float((gate > 0).mean()) if len(gate) else 0.0 for key, gate in answer.gates.items()},
                {repair.source for repair in answer.repairs},
                candidates,
                step=step,
                skip=answer.outcome.skip,
                prompt=prompt_text(messages),
                images=save_media(messages, self._folder / IMAGES_FOLDER),
                decode=partial(tokenizer.decode, skip_special_tokens=True),
            )
            self.append(record)
