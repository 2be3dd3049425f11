# SPDX-License-Identifier: Apache-2.0
"""What the warm interpreter imports before it is forked, and the state that it must not pass on."""

import importlib
import os
import sys

# Whatever verl's trainer, actor, agent loop, reward manager and vLLM's server, engine and worker import, but Ray and
# verl, which imports Ray. Of models, the ones that the project has tiny versions of.
MODULES = (
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.distributed.run",
    "torchvision",
    "torchdata.stateful_dataloader",
    "tensordict",
    "pandas",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "hydra",
    "hydra.core.global_hydra",
    "omegaconf",
    "codetiming",
    "loguru",
    "msgpack",
    "jsonschema",
    "nvtx",
    "rapidfuzz",
    "qwen_vl_utils",
    "datasets",
    "peft",
    "accelerate",
    "transformers.trainer",
    "transformers.processing_utils",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
    "transformers.models.qwen2_vl.image_processing_qwen2_vl",
    "transformers.models.qwen2_vl.video_processing_qwen2_vl",
    "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "transformers.models.internvl.modeling_internvl",
    "aiohttp.web",
    "fastapi",
    "uvicorn",
    "uvloop",
    "openai",
    "openai.resources.chat",
    "zmq.asyncio",
    "tensorboard.compat.proto.event_pb2",
    "torch.utils.tensorboard",
    "vllm",
    "vllm.entrypoints.openai.api_server",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.executor.uniproc_executor",
    "vllm.model_executor.models.qwen2_5_vl",
    "vllm.model_executor.models.qwen3_vl",
    "vllm.model_executor.models.interns1",
)


def preload() -> None:
    """Import `MODULES`, with Ray out of reach and without vLLM's plugins.

    Ray's native configuration (job, raylet, authentication) is read from the environment once, at import, and has to
    be the twin's. vLLM imports Ray in one module, which can do without.

    Raises:
        ImportError: a module is missing. The caller's Python then starts cold.
    """
    plugins = os.environ.get("VLLM_PLUGINS")
    os.environ["VLLM_PLUGINS"] = ""
    sys.modules["ray"] = None  # importing it raises; looking it up finds nothing
    for name in MODULES:
        importlib.import_module(name)
    del sys.modules["ray"]
    for name in [name for name in sys.modules if name.startswith("vllm.v1.executor.ray_")]:
        del sys.modules[name]
    if plugins is None:
        del os.environ["VLLM_PLUGINS"]
    else:
        os.environ["VLLM_PLUGINS"] = plugins
    sys.modules["vllm.plugins"].plugins_loaded = False
