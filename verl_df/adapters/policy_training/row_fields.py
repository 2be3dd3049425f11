# SPDX-License-Identifier: Apache-2.0
"""Carries per-token fields of ours past verl's fixed argument lists.

verl calls an advantage estimator and a policy loss with arguments of its own choice; a column that it does not know
never reaches them. The trainer hook (for the estimator) and the worker's `loss_fn` (for the loss) put the columns here
for the duration of verl's call, and the registered functions read them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from verl_df.settings.loss_config import LossConfig

GATE = "df_gate"
IS_REPAIR = "df_is_repair"
# The number of a row whose tokens are logged, -1 for others, int64 [rows, 1]; there only where a row of the step is.
LOGGED = "df_logged"


@dataclass(frozen=True)
class RowFields:
    """The columns that DF adds to a batch, and one of verl's that does not reach a registered estimator.

    Attributes:
        is_repair: 1 for repaired rows, int64 [rows, 1].
        gate: what multiplies the advantage, float32 [rows, response_length], zero on padding: g in [0, 1] of Eq. 20,
            or more than 1 where `df.gate.normalizer` makes up for tokens without a gate. None in the actor's workers,
            whose advantages are gated already.
        weigh: advantages before the gate, float [rows, response_length] -> weights of another method, float32 of the
            same shape, which multiply them besides the gate; None: there are none.
        imitates: whether every token's advantage is 1, whatever its reward: no reinforcement.
        values: the critic's, float32 [rows, response_length]; None without a critic, and in the actor's workers.
        loss: what another method changes in the loss; the trainer's estimators do not look at it.
        see_advantages: called by an estimator with the advantages before the gate, and with what multiplies them, both
            float [rows, response_length].
        see_ratio: called by a loss with log-probability, ratio and whether the ratio is outside the clip range, each
            [rows, response_length], detached.
    """

    is_repair: torch.Tensor
    gate: torch.Tensor | None = None
    weigh: Callable[[torch.Tensor], torch.Tensor] | None = None
    imitates: bool = False
    values: torch.Tensor | None = None
    loss: LossConfig = LossConfig()
    see_advantages: Callable[[torch.Tensor, torch.Tensor], None] | None = None
    see_ratio: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None] | None = None


_CURRENT: ContextVar[RowFields | None] = ContextVar("verl_df_row_fields", default=None)


@contextmanager
def use_row_fields(fields: RowFields) -> Iterator[None]:
    """Make `fields` visible to `current_row_fields` inside the block."""
    token = _CURRENT.set(fields)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_row_fields(caller: str, shape: torch.Size) -> RowFields:
    """The fields set by the enclosing `use_row_fields`.

    Args:
        caller: the registered name that asks, for the error text.
        shape: the [rows, response_length] that the caller works on.

    Raises:
        RuntimeError: outside a DF trainer, or when the shapes disagree.
    """
    fields = _CURRENT.get()
    if fields is None:
        raise RuntimeError(
            f"{caller!r} was called outside a DF trainer, so there is no gate. "
            "Set trainer.v1.trainer_mode=df_sync and start the run with `python -m recipe.df.main_df`."
        )
    found = fields.is_repair.shape[:1] if fields.gate is None else fields.gate.shape
    if found != shape[: len(found)]:
        raise RuntimeError(f"{caller!r}: DF's columns have shape {tuple(found)}, the batch has {tuple(shape)}")
    return fields
