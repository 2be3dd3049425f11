# SPDX-License-Identifier: Apache-2.0
"""The losses of a batch do not depend on how its rows fall into mini-batches, micro-batches and ranks."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from verl.trainer.ppo.core_algos import get_policy_loss_fn

from tests.unit.adapters.objectives_support import actor_config
from tests.unit.adapters.policy_training.test_loss import fields, tensors
from verl_df.adapters.policy_training.row_fields import use_row_fields
from verl_df.method.mini_batches import count_mini_batches, spread_empty_rows
from verl_df.settings.objectives import FIXED_AGGREGATION, LOSSES, gated

SEQUENCE_MEANS = ("seq-mean-token-mean", "seq-mean-token-sum")


def gradient_of(loss_mode: str, aggregation: str, batch: dict, layout: list[list[list[list[int]]]], mean_rows: float):
    """Gradient with respect to the log-probabilities, as FSDP gives it: summed over micro-batches, averaged over ranks.

    Args:
        layout: rows of each micro-batch of each rank of each mini-batch.
    """
    log_prob = batch["log_prob"].clone().requires_grad_()
    for ranks in layout:
        rows = [row for micro_batches in ranks for micro_batch in micro_batches for row in micro_batch]
        tokens = batch["response_mask"][rows].sum().item()
        for micro_batch in (micro_batch for micro_batches in ranks for micro_batch in micro_batches):
            config = actor_config()
            info = {"dp_size": len(ranks), "batch_num_tokens": tokens, "global_batch_size": mean_rows}
            config.global_batch_info.update(info, loss_scale_factor=None)
            part = {name: values[micro_batch] for name, values in (batch | {"log_prob": log_prob}).items()}
            with use_row_fields(fields(part)):
                loss, _ = get_policy_loss_fn(loss_mode)(**part, loss_agg_mode=aggregation, config=config)
            (loss / len(ranks)).backward()
    return log_prob.grad


def laid_out(order: list[int], ranks: int, mini_batches: int, cuts: random.Random) -> list[list[list[list[int]]]]:
    share = len(order) // ranks
    each = share // mini_batches
    layout = []
    for mini_batch in range(mini_batches):
        of_ranks = []
        for rank in range(ranks):
            start = rank * share + mini_batch * each
            rows = order[start : start + each]
            cuts.shuffle(rows)  # dynamic batch sizes reorder rows within a mini-batch
            cut = cuts.randint(0, each)
            of_ranks.append([part for part in (rows[:cut], rows[cut:]) if part])
        layout.append(of_ranks)
    return layout


def both(
    loss_mode: str, seed: int, rows: int, ranks: int, wanted: int, aggregation: str
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Gradient summed over the mini-batches of a layout, that of the whole batch at once, number of mini-batches."""
    mini_batches = 1 if aggregation == "token-mean" else count_mini_batches(wanted, rows)
    size = -(-rows // (ranks * mini_batches)) * ranks * mini_batches
    batch = tensors(seed, rows=size + 1)
    batch = {
        name: values[:size].double() if values.is_floating_point() else values[:size] for name, values in batch.items()
    }
    batch["response_mask"][rows:] = False  # verl's empty rows, at the end
    is_empty = [row >= rows for row in range(size)]
    order = spread_empty_rows(is_empty, ranks, mini_batches)
    layout = laid_out(order, ranks, mini_batches, random.Random(seed))
    split = gradient_of(loss_mode, aggregation, batch, layout, mean_rows=rows / mini_batches)
    whole = gradient_of(loss_mode, aggregation, batch, [[[list(range(rows))]]], mean_rows=rows)
    return split, whole, mini_batches


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 13),
    ranks=st.integers(1, 3),
    wanted=st.integers(1, 4),
    aggregation=st.sampled_from((*SEQUENCE_MEANS, "token-mean")),
)
def test_any_layout_gives_the_gradient_of_the_whole_batch(
    loss: str, seed: int, rows: int, ranks: int, wanted: int, aggregation: str
) -> None:
    aggregation = FIXED_AGGREGATION.get(loss, aggregation)
    split, whole, mini_batches = both(gated(loss), seed, rows, ranks, wanted, aggregation)
    # every optimiser step sees its share of the rows with the weight that they have in the mean over the whole batch
    assert torch.allclose(split / mini_batches, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradients_compared_are_not_all_zero(loss: str) -> None:
    """A single row may be clipped everywhere; nine are not."""
    _, whole, _ = both(gated(loss), seed=0, rows=9, ranks=2, wanted=2, aggregation="seq-mean-token-mean")
    assert (whole != 0).any(dim=1).sum() > 3
