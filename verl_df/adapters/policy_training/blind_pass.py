# SPDX-License-Identifier: Apache-2.0
"""One more pass of the policy over the same rows, in which it does not see the picture, or only parts of it.

Patches become black where the processor leaves them (0 before normalisation): the grid, positions and token ids stay
those of the row, so that nothing differs but what is seen. Removing the image tokens instead would move the response.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict
from verl.utils import tensordict_utils as tu

from verl_df.adapters.data_plane import Batch
from verl_df.adapters.policy_training.further_pass import further_pass

BLIND_LOG_PROBS = "df_blind_log_probs"
# Rides with the batch to the workers.
HIDING = "df_hiding"
PICTURES = ("pixel_values", "pixel_values_videos")
# Side of the squares that are hidden in inputs that are pictures, as InternVL's; Qwen's come as a row for each patch.
PATCH = 14


@dataclass(frozen=True)
class Hiding:
    """What is hidden of each row's picture.

    Attributes:
        share: of its patches, in expectation; 1: all.
        black: a black pixel after normalisation, (0 − mean)/std of each channel.
        seed: of the choice of patches, together with the row's tokens.
    """

    share: float
    black: tuple[float, ...]
    seed: tuple[int, ...]

    def inputs(self, inputs: Mapping[str, Any], input_ids: torch.Tensor) -> dict[str, Any]:
        """A row's multi-modal inputs with the picture hidden; the given ones are not changed.

        Args:
            inputs: as the processor makes them, `pixel_values` [patches, channels · pixels] or
                [tiles, channels, height, width].
            input_ids: of the row, int64 [sequence].
        """
        rng = np.random.default_rng([*self.seed, zlib.crc32(input_ids.cpu().numpy().tobytes())])
        return {name: self._hidden(value, rng) if name in PICTURES else value for name, value in inputs.items()}

    def _hidden(self, pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        black = torch.tensor(self.black, dtype=pixels.dtype, device=pixels.device)
        if pixels.dim() == 2:
            chosen = torch.from_numpy(rng.random(len(pixels)) < self.share)[:, None]
            colour = black.repeat_interleave(pixels.shape[1] // len(black))
        else:
            tiles, _, height, width = pixels.shape
            rows, columns = -(-height // PATCH), -(-width // PATCH)
            squares = torch.from_numpy(rng.random((tiles, rows, columns)) < self.share)
            spread = squares.repeat_interleave(PATCH, dim=1).repeat_interleave(PATCH, dim=2)
            chosen, colour = spread[:, None, :height, :width], black[:, None, None]
        return torch.where(chosen.to(pixels.device), colour, pixels)


def hiding_of(processor: Any, share: float, seed: Sequence[int]) -> Hiding:
    """How pictures are hidden for a model.

    Raises:
        ValueError: a model without a processor of pictures.
    """
    if processor is None:
        raise ValueError(
            "df.weight.kind needs a pass of the policy without the picture, and this model has no processor of "
            "pictures: choose weights that need none"
        )
    images = processor.image_processor
    black = tuple(-mean / std for mean, std in zip(images.image_mean, images.image_std, strict=True))
    return Hiding(share, black, tuple(seed))


def hide_pictures(data: TensorDict) -> TensorDict:
    """In a worker: the rows as the trainer sent them, with the pictures hidden as it asked for.

    Raises:
        ValueError: rows without multi-modal inputs.
    """
    hiding = tu.pop(data, key=HIDING)
    if "multi_modal_inputs" not in data.keys():
        raise ValueError("df.weight.kind needs a pass of the policy without the picture, and the rows have none")
    rows = zip(data["multi_modal_inputs"], data["input_ids"].unbind(), strict=True)
    hidden = [{} if inputs is None else hiding.inputs(inputs, input_ids) for inputs, input_ids in rows]
    data["multi_modal_inputs"] = NonTensorStack(*hidden)
    return data


def add_blind_log_probs(workers: Any, batch: Batch, hiding: Hiding, temperature: float) -> None:
    """Write the column `df_blind_log_probs`, float32 [response_length], of every row of a batch.

    Args:
        workers: the policy's worker group.
        batch: its rows.
        hiding: what is hidden.
        temperature: of the log-probabilities, that of the rollouts.
    """
    further_pass(workers.compute_blind_log_prob, batch, BLIND_LOG_PROBS, temperature, **{HIDING: hiding})
