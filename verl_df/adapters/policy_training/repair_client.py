# SPDX-License-Identifier: Apache-2.0
"""The repair model as verl's own single-turn agent loop, pointed at rollout replicas.

The agent loop already knows how to turn messages with images into prompt tokens for every model family that verl
supports, and it returns the generated token ids: nothing is decoded and encoded again.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from omegaconf import DictConfig
from ray.exceptions import RayActorError, RayTaskError
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.dataset.rl_dataset import get_dataset_class
from verl.utils.tokenizer import get_processor_token_id
from verl.workers.config import HFModelConfig
from verl.workers.rollout.llm_server import LLMServerClient
from verl.workers.rollout.replica import TokenOutput

from verl_df.adapters.policy_training.placement import Probe
from verl_df.adapters.policy_training.unanswered import Unanswered
from verl_df.method.feedback import PromptTooLong, RepairSample
from verl_df.method.repair import Rejection
from verl_df.settings.config import RepairConfig

_DEAD_ENGINE = "EngineDeadError"  # of vLLM, whose server outlives its engine; by name, for to import it takes seconds


@dataclass(frozen=True)
class RepairPrompt:
    """A repair prompt as the engine takes it.

    Attributes:
        token_ids: with one placeholder for each media feature.
        media: keyword arguments of `LLMServerClient.generate`.
    """

    token_ids: list[int]
    media: dict[str, Any]

    @property
    def has_media(self) -> bool:
        """Whether it is more than text."""
        return any(self.media.get(kind) for kind in ("image_data", "video_data", "audio_data"))


class _RepairLoop(SingleTurnAgentLoop):
    """verl's single-turn agent loop in two halves, so that one prompt is prepared once for all its samples."""

    async def prepare(self, messages: list[dict[str, Any]]) -> RepairPrompt:
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
        return RepairPrompt(
            token_ids,
            {
                "image_data": media.get("images"),
                "video_data": media.get("videos"),
                "audio_data": media.get("audios"),
                "mm_processor_output": self.build_sglang_video_payload(media.get("videos"), features),
                "mm_processor_kwargs": self._get_mm_processor_kwargs(media.get("audios")),
            },
        )

    async def generate(self, prompt: RepairPrompt, sampling: dict[str, Any], session: str) -> TokenOutput:
        """One response."""
        limits = {"max_tokens": self.response_length}  # else the server takes the room that its own prompts leave
        return await self.server_manager.generate(
            request_id=session, prompt_ids=prompt.token_ids, sampling_params=sampling | limits, **prompt.media
        )

    async def sample(self, prompt: RepairPrompt, sampling: dict[str, Any], session: str) -> tuple[int, ...]:
        """Token ids of one response, cut to the response length."""
        output = await self.generate(prompt, sampling, session)
        merged, mask, _ = await self.ct_merge_assistant_token(prompt.token_ids, output.token_ids, [])
        response = merged.token_ids[-len(mask) :] if mask else []
        return tuple(response[: self.response_length])


class RepairFormat:
    """Repair prompts and repairs as token ids of the policy's tokenizer.

    Args:
        config: as the repair engine sees the run's (`repair_run_config`).
        client: of rollout replicas; None where the engine is elsewhere.
    """

    def __init__(self, config: DictConfig, client: LLMServerClient | None = None):
        model: HFModelConfig = omega_conf_to_dataclass(config.actor_rollout_ref.model)
        self.tokenizer, self.processor = model.tokenizer, model.processor
        self.response_length: int = config.actor_rollout_ref.rollout.response_length
        self.loop = _RepairLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=client,
            tokenizer=model.tokenizer,
            processor=model.processor,
            dataset_cls=get_dataset_class(config.data),
            data_config=DictConfigWrap(config.data),
            hf_model_type=model.hf_config.model_type,
        )
        self._end_ids = end_token_ids(model)
        self.placeholder_ids = placeholder_ids(model.processor)

    def sample(self, token_ids: Sequence[int], queued: float = 0.0) -> RepairSample:
        """A response, judged by its token ids alone. queued: seconds until it was its turn."""
        return RepairSample(
            token_ids=tuple(token_ids),
            finished=bool(token_ids) and token_ids[-1] in self._end_ids,
            contains_placeholder=any(token in self.placeholder_ids for token in token_ids),
            queued=queued,
        )


class EngineRepairModel:
    """A `RepairModel` behind rollout replicas of verl's.

    Args:
        client: of the replicas; its config describes the repair engine (`repair_run_config`).
        repair: the `df.repair` block.
        max_concurrency: samples under way at the same time.
    """

    def __init__(self, client: LLMServerClient, repair: RepairConfig, max_concurrency: int):
        self._format = RepairFormat(client.config, client)
        self._timeout_s, self._unanswered = repair.timeout_s, Unanswered()
        self._slots = asyncio.Semaphore(max_concurrency)
        rollout = client.config.actor_rollout_ref.rollout
        self._sampling = {
            "temperature": rollout.temperature,
            "top_p": rollout.top_p,
            "top_k": -1,
            "repetition_penalty": 1.0,
        }
        self._takes_seeds = rollout.name == "vllm"  # SGLang's engine knows no seed of a request

    async def sample(self, messages: list[dict[str, Any]], seeds: Sequence[int], session: str) -> list[RepairSample]:
        """See `RepairModel`. One request per sample: verl's server returns the first output of a request only.

        All samples of a rollout or none: a choice among fewer would be another choice.

        Raises:
            PromptTooLong: the prompt is longer than the repair engine's prompt length.
            NoRepair: the samples took longer than `df.repair.timeout_s`, or their engine died.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                prompt = await self._format.loop.prepare(messages)
                return list(await asyncio.gather(*(self._one(prompt, seed, session) for seed in seeds)))
        except TimeoutError as error:
            late = TimeoutError(f"no samples in df.repair.timeout_s={self._timeout_s:g}")
            raise self._unanswered.no_repair(Rejection.NO_ANSWER, late) from error
        except (RayActorError, RayTaskError) as error:
            if isinstance(error, RayTaskError) and type(error.cause).__name__ != _DEAD_ENGINE:
                raise
            raise self._unanswered.no_repair(Rejection.NO_ANSWER, error) from error

    async def _one(self, prompt: RepairPrompt, seed: int, session: str) -> RepairSample:
        start = time.perf_counter()
        async with self._slots:
            queued = time.perf_counter() - start
            seeded = {"seed": seed} if self._takes_seeds else {}
            token_ids = await self._format.loop.sample(prompt, self._sampling | seeded, session)
        return self._format.sample(token_ids, queued)

    async def probe(self, messages: list[dict[str, Any]]) -> Probe:
        """See `RepairModel`."""
        prompt = await self._format.loop.prepare(messages)
        greedy = self._sampling | {"temperature": 0.0, "top_p": 1.0, "logprobs": True}
        output = await self._format.loop.generate(prompt, greedy, session="df_self_test")
        return Probe(tuple(output.token_ids), tuple(output.log_probs or ()))


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
