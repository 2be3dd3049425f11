# SPDX-License-Identifier: Apache-2.0
"""The repair model as verl's own single-turn agent loop, pointed at the repair server.

The agent loop already knows how to turn messages with images into prompt tokens for every model family that verl
supports, and it returns the generated token ids: nothing is decoded and encoded again.
"""

import asyncio
from typing import Any

from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.dataset.rl_dataset import get_dataset_class
from verl.utils.tokenizer import get_processor_token_id
from verl.workers.config import HFModelConfig
from verl.workers.rollout.llm_server import LLMServerClient

from verl_df.method.feedback import RepairSample


class RepairModel:
    """Samples repairs y-hat ~ p_phi(. | x, y, a) (Eq. 5).

    Args:
        client: client of the repair server; its config describes the repair engine (`repair_run_config`).
    """

    def __init__(self, client: LLMServerClient):
        config = client.config
        model: HFModelConfig = omega_conf_to_dataclass(config.actor_rollout_ref.model)
        self.tokenizer, self.processor = model.tokenizer, model.processor
        self._rollout = config.actor_rollout_ref.rollout
        self._loop = SingleTurnAgentLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=client,
            tokenizer=model.tokenizer,
            processor=model.processor,
            dataset_cls=get_dataset_class(config.data),
            data_config=DictConfigWrap(config.data),
            hf_model_type=model.hf_config.model_type,
        )
        self._end_ids = end_token_ids(model)
        self._placeholder_ids = placeholder_ids(model.processor)

    async def sample(self, messages: list[dict[str, Any]], n: int) -> list[RepairSample]:
        """`n` independent samples for one repair prompt.

        One request per sample: verl's server returns the first output of a request only.

        Raises:
            ValueError: the prompt is longer than the repair engine's prompt length.
        """
        return list(await asyncio.gather(*(self._sample(messages) for _ in range(n))))

    async def _sample(self, messages: list[dict[str, Any]]) -> RepairSample:
        sampling = {
            "temperature": self._rollout.temperature,
            "top_p": self._rollout.top_p,
            "top_k": -1,
            "repetition_penalty": 1.0,
        }
        output = await self._loop.run(sampling, raw_prompt=messages)
        token_ids = tuple(output.response_ids)
        return RepairSample(
            token_ids=token_ids,
            finished=bool(token_ids) and token_ids[-1] in self._end_ids,
            contains_placeholder=any(token in self._placeholder_ids for token in token_ids),
        )


def end_token_ids(model: HFModelConfig) -> frozenset[int]:
    """Token ids that end a response: the tokenizer's and those of the model's generation config."""
    listed = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = [] if listed is None else [listed] if isinstance(listed, int) else list(listed)
    return frozenset([model.tokenizer.eos_token_id, *listed])


def placeholder_ids(processor: Any) -> frozenset[int]:
    """Token ids that stand for image or video features in a prompt and have no meaning in a response."""
    if processor is None:
        return frozenset()
    found = (get_processor_token_id(processor, kind) for kind in ("image", "video"))
    return frozenset(token for token in found if token is not None)
