# SPDX-License-Identifier: Apache-2.0
"""What a pass of the policy is shown of each row's prompt, and the pass itself: the trainer's side of `shown_pass`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from verl_df.adapters import data_plane
from verl_df.adapters.data_plane import Batch
from verl_df.adapters.policy_training.further_pass import further_pass
from verl_df.adapters.policy_training.shown_pass import SHOWN, SHOWN_LOG_PROBS, Shower
from verl_df.method.checks import preferred_response
from verl_df.method.group import GroupConfig, OnNoCorrect, ReferenceFrom
from verl_df.token_weights.rlsd import right_siblings


def read_references(
    batch: Batch,
    uids: Sequence[str | None],
    right: np.ndarray,
    config: GroupConfig,
    decode: Callable[[Sequence[int]], str],
    rng: np.random.Generator,
) -> list[str | None]:
    """For each row what a repair model of it would get for the reference a (Eq. 13), but never the row itself.

    Args:
        batch: the rows.
        uids: of each row's prompt; None for padding rows.
        right: bool [rows], whether r_task reaches the threshold.
        config: where a reference comes from, with and without a right row.
        decode: token ids -> text without special tokens.
        rng: of the draw among right rows of the same prompt. In rebuilt groups these are the repairs.

    Returns:
        texts; None where there is none.
    """
    columns = data_plane.read(batch, batch.keys, ["responses", "extra_info", "reward_model"])
    if config.reference is ReferenceFrom.PREFERRED:
        texts = [preferred_response(row) for row in columns["extra_info"]]
        return [None if uid is None else text for uid, text in zip(uids, texts, strict=True)]
    drawn = right_siblings(uids, right, rng)
    found: list[str | None] = [None if row is None else decode(columns["responses"][row].tolist()) for row in drawn]
    if config.on_no_correct is OnNoCorrect.ANNOTATED_ANSWER:
        with_right = {uid for uid, is_right in zip(uids, right, strict=True) if is_right}
        for row, uid in enumerate(uids):
            if uid is not None and uid not in with_right:
                answer = columns["reward_model"][row].get("ground_truth")
                found[row] = None if answer is None else str(answer)
    return found


def write_shown(batch: Batch, references: Sequence[str | None], shower: Shower) -> None:
    """Write the column `df_shown` of every row of a batch.

    To be called before verl writes the old log-probabilities: the workers read the columns that were there by then.

    Args:
        batch: its rows.
        references: what each row is shown.
        shower: of the policy's prompts.

    Raises:
        ValueError: as `Shower.place`.
    """
    prompts = data_plane.read(batch, batch.keys, ["prompts"])["prompts"]
    columns = {
        key: {SHOWN: torch.tensor(_shown(prompt.tolist(), reference, shower))}
        for key, prompt, reference in zip(batch.keys, prompts, references, strict=True)
    }
    data_plane.write(batch, columns)


def add_shown_log_probs(workers: Any, batch: Batch, references: Sequence[str | None], temperature: float) -> None:
    """Write the column `df_shown_log_probs`, float32 [response_length], of every row of a batch.

    A row without a reference takes its old log-probabilities, to the bit.

    Args:
        workers: the policy's worker group.
        batch: its rows, whose column `df_shown` is written.
        references: what each row is shown.
        temperature: of the log-probabilities, that of the rollouts.
    """
    further_pass(workers.compute_shown_log_prob, batch, SHOWN_LOG_PROBS, temperature)
    nothing = [key for key, reference in zip(batch.keys, references, strict=True) if reference is None]
    if nothing:
        old = data_plane.read(batch, nothing, ["old_log_probs"])["old_log_probs"]
        data_plane.write(batch, {key: {SHOWN_LOG_PROBS: row} for key, row in zip(nothing, old, strict=True)})


def _shown(prompt: list[int], reference: str | None, shower: Shower) -> list[int]:
    if reference is None:
        return [len(prompt)]
    return [shower.place(prompt), *shower.tokens(reference)]
