# SPDX-License-Identifier: Apache-2.0
"""A tiny model, rows of data, and checkpoints of it by verl's own FSDP engine, one forked process a rank.

Forked, not started anew: importing verl's engine takes longer than all that is done here. But forked from a process
that has done nothing else: autograd does not work in the child of a process that has used it.
"""

import io
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from verl.trainer.config import CheckpointConfig
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry

from verl_df.lab.toy.model import build_model
from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.tokenizer import save_processor

TINY = ModelSettings(width=64, ffn=64, layers=1, heads=2, kv_heads=1, vision_width=64, vision_heads=2)
RANK_SECONDS = 60


def save_tiny(folder: Path, tied: bool = False) -> Path:
    """A complete Hugging Face folder, float32; its weights are not exact in bfloat16."""
    processor = save_processor(folder, 0)
    model = build_model(processor.tokenizer, TINY, 0)
    if tied:
        model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = True
        model.tie_weights()
    model.save_pretrained(folder)
    return folder


def save_rows(path: Path, rows: int) -> Path:
    """verl's RL rows, with pictures of one colour."""
    images = []
    for row in range(rows):
        buffer = io.BytesIO()
        Image.new("RGB", (56, 56), (20 * row, 80, 200 - 10 * row)).save(buffer, format="PNG")
        images.append([{"bytes": buffer.getvalue()}])
    columns = {
        "data_source": ["toy"] * rows,
        "prompt": [[{"role": "user", "content": f"<image>How many cells are {row} red?"}] for row in range(rows)],
        "images": images,
        "reward_model": [{"style": "rule", "ground_truth": str(row)} for row in range(rows)],
    }
    pq.write_table(pa.table(columns), path)
    return path


def on_ranks(world_size: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Call `work(*arguments)` in `world_size` processes that can meet. Raises: AssertionError where one failed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=_rank, args=(rank, world_size, Path(folder), work, arguments))
            for rank in range(world_size)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(RANK_SECONDS)
            if process.is_alive():
                process.kill()
        errors = [path.read_text() for path in sorted(Path(folder).glob("error_*"))]
        assert not errors and all(process.exitcode == 0 for process in ranks), "\n".join(errors)


def _rank(rank: int, world_size: int, folder: Path, work: Callable[..., Any], arguments: tuple) -> None:
    meeting = f"file://{folder}/meeting?rank={rank}&world_size={world_size}"
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "DIST_INIT_METHOD": meeting}
    os.environ.update({name: str(value) for name, value in names.items()})
    try:
        work(*arguments)
    except BaseException:
        (folder / f"error_{rank}").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)  # nothing of pytest's is to run here


def save_checkpoint(model: Path, out: Path, strategy: str = "fsdp2", **lora: Any) -> None:
    """What the trainer does with `model`, up to its first save; to be called on every rank. lora: of HFModelConfig."""
    initialize_global_process_group()
    config = HFModelConfig(
        path=str(model), use_remove_padding=False, override_config={"attn_implementation": "sdpa"}, **lora
    )
    engine = EngineRegistry.new(
        model_type="language_model",
        backend=strategy,
        model_config=config,
        engine_config=FSDPEngineConfig(strategy=strategy, use_torch_compile=False),
        optimizer_config=FSDPOptimizerConfig(lr=0.0, total_training_steps=1),
        checkpoint_config=CheckpointConfig(save_contents=["model"]),
    )
    engine.initialize()
    if lora:
        _train_adapters(engine.module)
    engine.save_checkpoint(str(out))
    destroy_global_process_group()


def _train_adapters(module: torch.nn.Module) -> None:
    """PEFT starts B at zero, where the adapters do nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if "lora_B" in name:
                tensor.to_local().copy_(torch.randn(tensor.to_local().shape, generator=generator) * 0.05)
