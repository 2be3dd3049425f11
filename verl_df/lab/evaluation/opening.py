# SPDX-License-Identifier: Apache-2.0
"""Finds the model of an evaluation and opens what answers: vLLM's offline engine, or a server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from verl_df.judges.endpoint import EndpointConfig
from verl_df.judges.failures import EndpointFailure
from verl_df.lab.evaluation.folder import EvaluationFolder
from verl_df.lab.evaluation.sampling import EngineSampler, Sampler
from verl_df.lab.evaluation.server import ChatServer, ServerSampler
from verl_df.lab.evaluation.settings import EvaluationSettings
from verl_df.lab.generation import VLLMGenerator, load_processor

OpenSampler = Callable[[str], AbstractContextManager[Sampler]]


def check_model(settings: EvaluationSettings) -> None:
    """See, without loading it, that the model is there: a processor in its folder, a checkpoint to merge, a server.

    Raises:
        FileNotFoundError, ValueError: it is not.
    """
    if settings.server:
        _check_server(settings)
    elif settings.checkpoint is not None:
        from verl_df.lab.checkpoint.locate import find_actor

        find_actor(Path(settings.checkpoint))
    else:
        assert settings.model is not None  # by the settings' check
        load_processor(settings.model, settings.trust_remote_code)


def model_of(settings: EvaluationSettings, folder: EvaluationFolder) -> str:
    """The model's folder or served name; a checkpoint is merged into the evaluation's folder first, once."""
    if settings.checkpoint is None:
        assert settings.model is not None  # by the settings' check
        return settings.model
    if not folder.model.exists():
        from verl_df.lab.checkpoint.merge import merge_checkpoint

        print(f"[evaluation] merging {settings.checkpoint} into {folder.model}", flush=True)
        merge_checkpoint(Path(settings.checkpoint), folder.model)
    return str(folder.model)


def opener(settings: EvaluationSettings) -> OpenSampler:
    """What opens the model."""
    if settings.server:
        return lambda model: nullcontext(ServerSampler(_server(settings)))

    @contextmanager
    def opened(model: str) -> Iterator[Sampler]:
        options = {"max_model_len": settings.max_model_len, "dtype": settings.dtype, **settings.engine}
        with VLLMGenerator(model, trust_remote_code=settings.trust_remote_code, **options) as generator:
            yield EngineSampler(generator)

    return opened


def _check_server(settings: EvaluationSettings) -> None:
    server = _server(settings)

    async def check() -> None:
        try:
            await server.check()
        finally:
            await server.aclose()

    try:
        asyncio.run(check())
    except EndpointFailure as failure:
        raise ValueError(f"--server: {failure}") from failure


def _server(settings: EvaluationSettings) -> ChatServer:
    config = EndpointConfig(
        base_url=settings.server_url or "",
        model=settings.model or "",
        api_key_env=settings.api_key_env,
        timeout_s=settings.timeout_s,
        max_concurrency=settings.concurrency,
    )
    return ChatServer(config)
