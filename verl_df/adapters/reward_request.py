# SPDX-License-Identifier: Apache-2.0
"""How verl asks a reward manager for a reward, and what its answer means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from verl import DataProto

# Under this name a reward manager leaves r_task beside its reward, for the trainer.
TASK_REWARD = "r_task"


def task_reward(result: dict[str, Any]) -> float:
    """r_task out of verl's result: what the reward function calls `acc`, else its `score`, else the reward itself.

    verl's managers put the function's values into `reward_extra_info` before they add a penalty for length. `acc` comes
    first: it says right or wrong where `score` has another scale (verl's `math_dapo` scores -1 and 1).
    """
    info = result["reward_extra_info"]
    value = info.get("acc", info.get("score", result["reward_score"]))
    return float(value)


def score_request(columns: dict[str, Any], token_ids: Sequence[int]) -> DataProto:
    """One response in the form in which verl's agent loop asks for a reward."""
    responses = torch.tensor([list(token_ids)], dtype=torch.int64)
    batch = TensorDict(
        {"responses": responses, "prompts": responses[:, :0], "attention_mask": torch.ones_like(responses)},
        batch_size=1,
    )
    values = {key: _object_array(value) for key, value in columns.items()}
    return DataProto(batch=batch, non_tensor_batch=values)


def response_ids(data: DataProto) -> list[int]:
    """Token ids of the response that verl asks a reward for, the last output's, without padding."""
    batch = data[-1:].batch
    responses = batch["responses"][0]
    length = int(batch["attention_mask"][0, batch["attention_mask"].shape[1] - len(responses) :].sum())
    return responses[:length].tolist()


def _object_array(value: Any) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = dict(value) if isinstance(value, dict) else value
    return array
