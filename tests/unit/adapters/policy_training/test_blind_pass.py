# SPDX-License-Identifier: Apache-2.0
"""Pictures hidden for a pass of the policy: what becomes black, what stays, and what is refused."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensordict import NonTensorStack, TensorDict
from transformers import AutoProcessor
from verl.utils import tensordict_utils as tu

from tests import ROOT
from verl_df.adapters.policy_training.blind_pass import (
    BLIND_LOG_PROBS,
    HIDING,
    Hiding,
    hide_pictures,
    hiding_of,
)
from verl_df.adapters.policy_training.worker import DFActorRolloutRefWorker

IDS = torch.arange(5)


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(ROOT / "examples/toy/world/policy")


def pixels(processor: Any, colour: tuple[int, int, int]) -> torch.Tensor:
    pictures = processor.image_processor([Image.new("RGB", (56, 56), colour)], return_tensors="pt")
    return pictures["pixel_values"]


def test_a_hidden_picture_is_a_black_one(processor: Any) -> None:
    seen = {"pixel_values": pixels(processor, (200, 10, 90)), "image_grid_thw": torch.tensor([[1, 4, 4]])}
    hidden = hiding_of(processor, 1.0, (0,)).inputs(seen, IDS)
    assert torch.allclose(hidden["pixel_values"], pixels(processor, (0, 0, 0)), atol=1e-5)
    assert hidden["image_grid_thw"] is seen["image_grid_thw"]
    assert torch.equal(seen["pixel_values"], pixels(processor, (200, 10, 90)))


def test_half_of_the_patches_are_hidden_the_same_for_the_same_row() -> None:
    seen = {"pixel_values_videos": torch.ones(400, 6)}
    hiding = Hiding(0.5, (-1.0, -2.0, -3.0), (0, 1))
    hidden = hiding.inputs(seen, IDS)["pixel_values_videos"]
    black = (hidden == torch.tensor([-1.0, -1.0, -2.0, -2.0, -3.0, -3.0])).all(dim=1)
    assert 140 < black.sum() < 260 and (hidden[~black] == 1).all()
    assert torch.equal(hidden, hiding.inputs(seen, IDS)["pixel_values_videos"])
    for other in (hiding.inputs(seen, IDS + 1), Hiding(0.5, hiding.black, (0, 2)).inputs(seen, IDS)):
        assert not torch.equal(hidden, other["pixel_values_videos"])


def test_of_tiles_squares_are_hidden() -> None:
    seen = {"pixel_values": torch.ones(2, 3, 28, 30)}
    black = torch.tensor([-1.0, -2.0, -3.0])
    all_black = Hiding(1.0, tuple(black.tolist()), (0,)).inputs(seen, IDS)["pixel_values"]
    assert torch.equal(all_black, black[None, :, None, None].expand(2, 3, 28, 30))
    half = Hiding(0.5, tuple(black.tolist()), (3,)).inputs(seen, IDS)["pixel_values"]
    assert len(np.unique(half[:, 0, :14, :14].flatten(1), axis=1).T) == 1  # a square is hidden whole
    assert set(np.unique(half[:, 0])) == {-1.0, 1.0}


def test_a_model_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="this model has no processor of pictures"):
        hiding_of(None, 1.0, (0,))
    data = TensorDict({"input_ids": IDS[None]}, batch_size=1)
    tu.assign_non_tensor(data, **{HIDING: Hiding(1.0, (0.0,), (0,))})
    with pytest.raises(ValueError, match="the rows have none"):
        hide_pictures(data)


def test_the_worker_runs_verls_pass_on_hidden_pictures() -> None:
    given: list[TensorDict] = []

    def infer_batch(data: TensorDict) -> TensorDict:
        given.append(data)
        return TensorDict({"log_probs": torch.full((2, 5), -7.0)}, batch_size=2)

    worker = DFActorRolloutRefWorker.__new__(DFActorRolloutRefWorker)
    worker.actor, worker.enable_routing_replay = SimpleNamespace(infer_batch=infer_batch), True
    inputs = NonTensorStack({"pixel_values": torch.ones(4, 3)}, {})
    data = TensorDict({"input_ids": IDS.repeat(2, 1), "multi_modal_inputs": inputs}, batch_size=2)
    tu.assign_non_tensor(data, **{HIDING: Hiding(1.0, (-1.0, -2.0, -3.0), (0,)), "enable_routing_replay": True})
    output = worker.compute_blind_log_prob(data)
    assert list(output.keys()) == [BLIND_LOG_PROBS] and (output[BLIND_LOG_PROBS] == -7).all()
    (sent,) = given
    with_picture, without = sent["multi_modal_inputs"]
    assert with_picture["pixel_values"].tolist() == [[-1, -2, -3]] * 4 and without == {}
    assert HIDING not in sent.keys() and tu.get(sent, "enable_routing_replay") is False
