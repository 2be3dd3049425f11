# SPDX-License-Identifier: Apache-2.0
"""The repair model as verl's own single-turn agent loop, pointed at the repair server.

The agent loop already knows how to turn messages with images into prompt tokens for every model family that verl
supports, and it returns the generated token ids: nothing is decoded and encoded again.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.dataset.rl_dataset import get_dataset_class
from verl.utils.tokenizer import get_processor_token_id
from verl.workers.config import HFModelConfig
from verl.workers.rollout.llm_server import LLMServerClient

from verl_df.method.feedback import PromptTooLong, RepairSample


@dataclass(frozen=True)
class _Prompt:
    """A repair prompt as the engine takes it.

    Attributes:
        token_ids: with one placeholder for each media feature.
        media: keyword arguments of `LLMServerClient.generate`.
    """

    token_ids: list[int]
    media: dict[str, Any]


class _RepairLoop(SingleTurnAgentLoop):
    """verl's single-turn agent loop in two halves, so that one prompt is prepared once for all its samples."""

    async def prepare(self, messages: list[dict[str, Any]]) -> _Prompt:
        """Tokenise and process a prompt. Raises: PromptTooLong for more tokens than the engine's prompt length."""
        media = await self.process_multi_modal_info(messages)
        self._assert_mm_supported(bool(media))
        features: dict[str, Any] = {}
        build = partial(
            self.continuous_token_builder.build_initial_tokens,
            messages,
            tools=None,
            images=media.get("images"),
            videos=media.get("videos"),
            audios=media.get("audios"),
            mm_inputs_out=features,
        )
        # not `ct_build_initial_tokens`, which cuts the beginning off a long text
        token_ids = await self.loop.run_in_executor(None, build)
        if len(token_ids) > self.prompt_length:
            raise PromptTooLong(f"{len(token_ids)} tokens, the repair engine takes {self.prompt_length}")
        return _Prompt(
            token_ids,
            {
                "image_data": media.get("images"),
                "video_data": media.get("videos"),
                "audio_data": media.get("audios"),
                "mm_processor_output": self.build_sglang_video_payload(media.get("videos"), features),
                "mm_processor_kwargs": self._get_mm_processor_kwargs(media.get("audios")),
            },
        )

    async def sample(self, prompt: _Prompt, sampling: dict[str, Any], session: str) -> tuple[int, ...]:
        """Token ids of one response, cut to the response length."""
        output = await self.server_manager.generate(
            request_id=session, prompt_ids=prompt.token_ids, sampling_params=sampling, **prompt.media
        )
        merged, mask, _ = await self.ct_merge_assistant_token(prompt.token_ids, output.token_ids, [])
        response = merged.token_ids[-len(mask) :] if mask else []
        return tuple(response[: self.response_length])


class RepairModel:
    """Samples repairs y-hat ~ p_phi(. | x, y, a) (Eq. 5).

    Args:
        client: client of the repair server; its config describes the repair engine (`repair_run_config`).
    """

    def __init__(self, client: LLMServerClient):
        config = client.config
        model: HFModelConfig = omega_conf_to_dataclass(config.actor_rollout_ref.model)
        self.tokenizer, self.processor = model.tokenizer, model.processor
        rollout = config.actor_rollout_ref.rollout
        self._sampling = {
            "temperature": rollout.temperature,
            "top_p": rollout.top_p,
            "top_k": -1,
            "repetition_penalty": 1.0,
        }
        self._loop = _RepairLoop(
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

    async def sample(self, messages: list[dict[str, Any]], n: int, session: str) -> list[RepairSample]:
        """`n` independent samples for one repair prompt.

        One request per sample: verl's server returns the first output of a request only.

        Args:
            messages: the repair prompt.
            n: samples.
            session: requests of one session go to one engine, whose cache then holds their common beginning: give the
                uid of the policy's prompt.

        Raises:
            PromptTooLong: the prompt is longer than the repair engine's prompt length.
        """
        prompt = await self._loop.prepare(messages)
        responses = await asyncio.gather(*(self._loop.sample(prompt, self._sampling, session) for _ in range(n)))
        return [self._repair_sample(token_ids) for token_ids in responses]

    def _repair_sample(self, token_ids: tuple[int, ...]) -> RepairSample:
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
