# SPDX-License-Identifier: Apache-2.0
"""The repair model behind an OpenAI-compatible endpoint.

Messages go there, with the images as the policy's processor would take them; token ids come back where the endpoint
returns them, else text that the policy's tokenizer cuts. Whatever goes wrong with a call costs the repairs of its pair.
"""

import asyncio
import pickle
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from verl_df.adapters.policy_training.placement import Hours, Probe, Site
from verl_df.adapters.policy_training.placements.chat import Reply, chat_messages, without_repeats
from verl_df.adapters.policy_training.repair_client import RepairFormat, RepairPrompt
from verl_df.adapters.policy_training.repair_server import repair_run_config
from verl_df.adapters.policy_training.unanswered import Unanswered
from verl_df.judges.endpoint import Endpoint, EndpointConfig, EndpointFailure
from verl_df.method.feedback import RepairSample
from verl_df.method.repair import Rejection
from verl_df.settings.config import RepairConfig

# vLLM's server takes sampling defaults from the model's folder; these are the ones that verl's engines are given.
_VLLM_DEFAULTS = {"return_token_ids": True, "top_k": -1, "repetition_penalty": 1.0}


class Remote:
    """A `Placement`."""

    hours, self_test, devices = Hours.ALWAYS, True, 0

    def __init__(self, site: Site) -> None:
        self.connection = RemoteConnection.to(repair_run_config(site.config, site.repair))

    def metrics(self) -> dict[str, float]:
        """None of its own."""
        return {}

    def settle(self, asked: int, unanswered: int) -> None:
        """Nothing: the endpoint has its own limits, and may come back at any time."""

    def awake(self) -> AbstractContextManager[None]:
        """It is, as far as we know."""
        return nullcontext()


@dataclass(frozen=True)
class RemoteConnection:
    """A `Connection` to an endpoint. config: the run's as a repair engine sees it, pickled as in `EngineConnection`."""

    config: bytes

    @classmethod
    def to(cls, config: DictConfig) -> "RemoteConnection":
        """The connection to the endpoint that the `df.repair` block names."""
        return cls(pickle.dumps(config))

    def open(self, repair: RepairConfig, max_concurrency: int) -> "RemoteRepairModel":
        """See `Connection`. Raises: ValueError, where the endpoint's settings cannot be used."""
        return RemoteRepairModel(pickle.loads(self.config), repair, max_concurrency)


class OtherTokens(ValueError):
    """Token ids of an endpoint are not those of the policy's tokenizer."""


class RemoteRepairModel:
    """A `RepairModel` behind an endpoint.

    Args:
        config: the run's as a repair engine sees it.
        repair: the `df.repair` block.
        max_concurrency: calls under way at the same time.
    """

    def __init__(self, config: DictConfig, repair: RepairConfig, max_concurrency: int) -> None:
        self._format, self._repair = RepairFormat(config), repair
        self._unanswered = Unanswered()
        rollout = config.actor_rollout_ref.rollout
        self._sampling = {"temperature": rollout.temperature, "top_p": rollout.top_p}
        # the endpoint bounds replies by it; token ids and log-probabilities are longer than the text
        longest = 4 * rollout.response_length
        limits = {"max_concurrency": max_concurrency, "max_tokens": longest}
        self.endpoint = Endpoint(EndpointConfig.at(repair.remote, **limits))

    async def sample(self, messages: list[dict[str, Any]], seeds: Sequence[int], session: str) -> list[RepairSample]:
        """See `RepairModel`. All samples of a rollout or none: a choice among fewer would be another choice."""
        prompt = await self._format.loop.prepare(messages)
        call = _Call.of(messages, prompt, self._sampling)
        try:
            async with asyncio.timeout(self._repair.timeout_s):
                answers = await asyncio.gather(*(self._one(call, seed) for seed in seeds), return_exceptions=True)
        except TimeoutError:
            answers = [TimeoutError(f"no samples in df.repair.timeout_s={self._repair.timeout_s:g}")]
        for answer in answers:
            if isinstance(answer, OtherTokens):
                raise self._unanswered.no_repair(Rejection.OTHER_TOKENS, answer)
            if isinstance(answer, EndpointFailure | TimeoutError):
                raise self._unanswered.no_repair(Rejection.NO_ANSWER, answer)
            if isinstance(answer, BaseException):
                raise answer
        return [self._format.sample(answer) for answer in answers]  # type: ignore[arg-type]

    async def probe(self, messages: list[dict[str, Any]]) -> Probe:
        """See `RepairModel`. Raises: EndpointFailure, OtherTokens, ValueError."""
        prompt = await self._format.loop.prepare(messages)
        call = _Call.of(messages, prompt, {"temperature": 0.0, "logprobs": True})
        reply = await self._reply(call, seed=0)
        self._token_ids(call, reply)
        if not self._repair.remote.token_ids and not prompt.has_media and reply.prompt_tokens != len(prompt.token_ids):
            raise OtherTokens(
                f"it counts {reply.prompt_tokens} tokens in a prompt that has {len(prompt.token_ids)}: another "
                "tokenizer, another chat template, or no `usage` in its replies"
            )
        if not reply.tokens:
            raise ValueError("it returns no log-probabilities (`logprobs`)")
        return Probe(reply.tokens, reply.log_probs)

    async def _one(self, call: "_Call", seed: int) -> list[int]:
        return self._token_ids(call, await self._reply(call, seed))

    async def _reply(self, call: "_Call", seed: int) -> Reply:
        options = _VLLM_DEFAULTS if self._repair.remote.token_ids else {}
        limit = self._format.response_length
        return await self.endpoint.chat(
            {"messages": call.chat, "max_tokens": limit, "seed": seed, **call.sampling, **options}, Reply.of
        )

    def _token_ids(self, call: "_Call", reply: Reply) -> list[int]:
        """Token ids of a reply, cut to the response length. Raises: OtherTokens."""
        tokenizer = self._format.tokenizer
        if self._repair.remote.token_ids:
            token_ids = self._checked(call, reply)
        else:
            end = [tokenizer.eos_token_id] if reply.stopped else []
            token_ids = [*tokenizer.encode(reply.text, add_special_tokens=False), *end]
        return token_ids[: self._format.response_length]

    def _checked(self, call: "_Call", reply: Reply) -> list[int]:
        tokenizer, placeholders = self._format.tokenizer, self._format.placeholder_ids
        if reply.token_ids is None or reply.prompt_ids is None:
            raise OtherTokens("no token ids in its reply: serve with vLLM, or set df.repair.remote.token_ids=False")
        theirs, ours = (without_repeats(ids, placeholders) for ids in (reply.prompt_ids, call.prompt.token_ids))
        if theirs != ours:
            place = next((n for n, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), "the end")
            raise OtherTokens(f"its token ids of the prompt differ from the policy's from place {place} on")
        if not all(0 <= token < len(tokenizer) for token in reply.token_ids):
            raise OtherTokens(f"it returned token ids beyond the policy's {len(tokenizer)}")
        text = tokenizer.decode(reply.token_ids, skip_special_tokens=True)
        if text.replace("\ufffd", "") != reply.text.replace("\ufffd", ""):  # half a character at the length limit
            read, said = repr(text[:60]), repr(reply.text[:60])
            raise OtherTokens(f"its token ids read {read} by the policy's tokenizer, and its text {said}")
        return list(reply.token_ids)


@dataclass(frozen=True)
class _Call:
    """What the samples of one prompt share. chat: the messages in the API's form."""

    prompt: RepairPrompt
    chat: list[dict[str, Any]]
    sampling: dict[str, Any]

    @classmethod
    def of(cls, messages: list[dict[str, Any]], prompt: RepairPrompt, sampling: dict[str, Any]) -> "_Call":
        """Raises: NotImplementedError for media other than images."""
        return cls(prompt, chat_messages(messages, prompt.media), sampling)
