# SPDX-License-Identifier: Apache-2.0
"""Equal-length batches of multi-axis position ids, packed as TransferQueue packs them."""

import pickle

import pytest
import torch
import verl.utils.tensordict_utils as tensordict_utils
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict
from transfer_queue.storage.managers.simple_storage_manager import AsyncSimpleStorageManager

from verl_df.platform import position_ids

position_ids.apply()
verl_original = tensordict_utils.maybe_fix_3d_position_ids.__wrapped__


def position_rows(lengths: list[int], axes: int = 4) -> list[torch.Tensor]:
    """Distinct values everywhere, so that any mix-up shows."""
    return [torch.arange(axes * n).reshape(axes, n) + 1000 * i for i, n in enumerate(lengths)]


def packed(rows: list[torch.Tensor]) -> TensorDict:
    """The rows as a worker gets them from TransferQueue."""
    positions = AsyncSimpleStorageManager._pack_field_values(rows)
    return TensorDict({"position_ids": positions}, batch_size=[len(rows)])


def padded(data: TensorDict, rows: list[torch.Tensor]) -> torch.Tensor:
    """As verl's FSDP engine pads them, (B, axes, longest)."""
    size = (len(rows), rows[0].shape[0], max(row.shape[1] for row in rows))
    return torch.nested.to_padded_tensor(data["position_ids"], padding=0, output_size=size)


def expected(rows: list[torch.Tensor]) -> torch.Tensor:
    longest = max(row.shape[1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[1])) for row in rows])


def test_verl_alone_breaks_an_equal_length_batch() -> None:
    rows = position_rows([5, 5, 5])
    data = packed(rows)
    verl_original(data)
    assert data["position_ids"].values().shape == (12, 5)  # the engine reads (4, tokens)
    with pytest.raises(RuntimeError, match=r"size of tensor a \(4\)"):
        padded(data, rows)
    with pytest.raises(RuntimeError, match="Expected cond to be True"):
        data["position_ids"].unbind()


def test_verl_alone_silently_truncates_a_single_row() -> None:
    rows = position_rows([6])
    data = packed(rows)
    verl_original(data)
    assert not torch.equal(padded(data, rows), expected(rows))


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6), axes=st.sampled_from([3, 4]))
def test_positions_survive_any_lengths(lengths: list[int], axes: int) -> None:
    rows = position_rows(lengths, axes)
    data = packed(rows)
    for _ in range(2):  # workers call it on the batch and again on each mini-batch
        tensordict_utils.maybe_fix_3d_position_ids(data)
        assert torch.equal(data["position_ids"].values(), torch.cat(rows, dim=1))
        assert torch.equal(padded(data, rows), expected(rows))


@given(length=st.integers(1, 12), batch=st.integers(1, 6), axes=st.sampled_from([3, 4]))
def test_positions_survive_equal_lengths(length: int, batch: int, axes: int) -> None:
    rows = position_rows([length] * batch, axes)
    data = packed(rows)
    tensordict_utils.maybe_fix_3d_position_ids(data)
    assert torch.equal(data["position_ids"].values(), torch.cat(rows, dim=1))
    assert torch.equal(padded(data, rows), torch.stack(rows))


def test_square_values_of_two_rows_are_told_apart() -> None:
    rows = position_rows([8, 8])  # values (8, 8): the offsets fit both dimensions
    data = packed(rows)
    tensordict_utils.maybe_fix_3d_position_ids(data)
    assert torch.equal(data["position_ids"].values(), torch.cat(rows, dim=1))


def test_mini_batches_of_a_mended_batch_hold_their_rows() -> None:
    rows = position_rows([5, 5, 5])
    data = packed(rows)
    tensordict_utils.maybe_fix_3d_position_ids(data)
    picked = tensordict_utils.index_select_tensor_dict(data, [2, 0])
    tensordict_utils.maybe_fix_3d_position_ids(picked)
    assert torch.equal(padded(picked, rows[:2]), torch.stack([rows[2], rows[0]]))


@pytest.mark.parametrize("lengths", [[5, 5, 5], [5, 3, 4]])
def test_positions_survive_pickling(lengths: list[int]) -> None:
    rows = position_rows(lengths)
    data = pickle.loads(pickle.dumps(packed(rows).consolidate()))
    tensordict_utils.maybe_fix_3d_position_ids(data)
    assert torch.equal(padded(data, rows), expected(rows))


def test_two_dimensional_positions_and_none_are_left_alone() -> None:
    text = AsyncSimpleStorageManager._pack_field_values([torch.arange(4), torch.arange(4)])
    data = TensorDict({"position_ids": text}, batch_size=[2])
    tensordict_utils.maybe_fix_3d_position_ids(data)
    assert data["position_ids"] is text
    tensordict_utils.maybe_fix_3d_position_ids(TensorDict({}, batch_size=[2]))


def test_every_importer_in_verl_got_the_mended_function() -> None:
    import verl.workers.engine.base as engine_base
    import verl.workers.engine_workers as engine_workers

    for module in (engine_base, engine_workers):
        assert module.maybe_fix_3d_position_ids is tensordict_utils.maybe_fix_3d_position_ids
