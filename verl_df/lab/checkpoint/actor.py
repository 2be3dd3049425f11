# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of the trained actor: verl's FSDP engine with the shards that the trainer wrote.

    torchrun --nproc-per-node=WORLD_SIZE -m verl_df.lab.checkpoint.actor CHECKPOINT DATA REQUEST OUT DTYPE

One process per rank of the training. Nothing of a merged model is looked at. Engine, loading, position ids, packing and
log-probabilities are verl's; float32 throughout.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tensordict import NonTensorStack, TensorDict
from torch.distributed.tensor import DTensor
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import BaseEngine, EngineRegistry
from verl.workers.utils.padding import response_from_nested

from verl_df.io.pictures import patch_size_of
from verl_df.lab.checkpoint.locate import Shards, find_shards
from verl_df.lab.checkpoint.sequences import TokenRow, prompt_inputs
from verl_df.lab.checkpoint.tensors import load_shard
from verl_df.lab.rl_data import Prompt, RLData


def load_actor(shards: Shards) -> tuple[BaseEngine, HFModelConfig]:
    """verl's engine with the weights of `shards`, for this rank. The process group must be up.

    verl's engine runs code that a shard names: the shard of this rank is therefore read as tensors alone first.

    Raises:
        ValueError: a broken shard, or one of more than tensors.
        RuntimeError: torch's, for shards that are not exactly the model's tensors.
    """
    with tempfile.TemporaryDirectory() as folder:
        _start_folder(shards, Path(folder))
        model = HFModelConfig(
            path=folder,
            use_remove_padding=False,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "sdpa"},  # flash attention knows no float32
            **_lora(shards),
        )
        engine = EngineRegistry.new(
            model_type="language_model",
            backend="fsdp2" if shards.fsdp_version == 2 else "fsdp",
            model_config=model,
            engine_config=_engine_config(shards),
            optimizer_config=FSDPOptimizerConfig(lr=0.0, total_training_steps=1),  # AdamW is empty until its first step
            checkpoint_config=CheckpointConfig(save_contents=["model"], load_contents=["model"]),
        )
        engine.initialize()
    load_shard(shards.path(torch.distributed.get_rank()))
    engine.load_checkpoint(str(shards.folder), del_local_after_load=False)
    return engine, model


def _start_folder(shards: Shards, folder: Path) -> None:
    """The model's configuration without its weights: transformers makes random ones, and any that the shards lack would
    show.
    """
    for path in shards.huggingface.iterdir():
        if path.is_file() and ".safetensors" not in path.name:  # hf_model in checkpoint.save_contents
            shutil.copyfile(path, folder / path.name)
    save_file({}, folder / "model.safetensors", metadata={"format": "pt"})


def _engine_config(shards: Shards) -> FSDPEngineConfig:
    return FSDPEngineConfig(
        strategy="fsdp2" if shards.fsdp_version == 2 else "fsdp",
        fsdp_size=_fsdp_size(shards),
        model_dtype="fp32",
        mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        use_torch_compile=False,
        use_dynamic_bsz=False,
        infer_micro_batch_size_per_gpu=1,
    )


def _fsdp_size(shards: Shards) -> int:
    """Ranks that one copy of the model is split over: the last axis of the mesh in the shards."""
    values = load_shard(shards.path(0)).values()
    sharded = [value for value in values if isinstance(value, DTensor)]
    return int(sharded[0].device_mesh.mesh.shape[-1]) if sharded else shards.world_size


def _lora(shards: Shards) -> dict[str, Any]:
    meta = shards.lora()
    if meta is None:
        return {}
    modules = sorted({_module(name) for name in load_shard(shards.path(0)) if ".lora_A." in name})
    return {"lora_rank": meta["r"], "lora_alpha": meta["lora_alpha"], "target_modules": modules}


def _module(name: str) -> str:
    return name.partition(".lora_A.")[0].removeprefix("base_model.model.")


def actor_log_probs(engine: BaseEngine, model: HFModelConfig, prompts: list[Prompt], rows: list[TokenRow]) -> list:
    """Log-probabilities of the responses at temperature 1, float32 [response_length] each.

    Every rank computes all rows: FSDP's ranks must run the same number of forward passes.

    Raises:
        ValueError: the trained actor's tokenizer, template or image processor makes other prompt tokens.
    """
    batch = []
    for prompt, row in zip(prompts, rows, strict=True):
        own = tuple(prompt_inputs(model.processor, prompt)["input_ids"][0].tolist())
        if own != row.input_ids[: -row.response]:
            raise ValueError(
                f"row {prompt.index}: tokenizer, chat template or image processor of the merged folder make other "
                f"tokens of the prompt ({len(row.input_ids) - row.response}) than the checkpoint's ({len(own)})"
            )
        batch.append(verl_row(model, prompt, row))
    masks = [row["loss_mask"] for row in batch]
    data = verl_batch(batch, use_remove_padding=False, micro_batch_size_per_gpu=1)
    with engine.eval_mode():
        output = engine.infer_batch(data)
    scores = response_from_nested(
        output["model_output"]["log_probs"], torch.nested.as_nested_tensor(masks, layout=torch.jagged)
    )
    return [score.float().cpu().numpy() for score in scores.unbind()]


def verl_row(model: HFModelConfig, prompt: Prompt, row: TokenRow) -> dict[str, Any]:
    """Inputs of a row as verl's agent loop makes them for the trainer."""
    worker: Any = SimpleNamespace(  # what the two functions read of it
        processor=model.processor, tokenizer=model.tokenizer, _get_mm_processor_kwargs=lambda audios: {}
    )
    ids = torch.tensor([row.input_ids])
    output = SimpleNamespace(
        multi_modal_data={"images": prompt.pictures(patch_size_of(model.processor))}, mm_processor_kwargs=None
    )
    inputs = AgentLoopWorker._compute_multi_modal_inputs(worker, output, ids)
    positions = AgentLoopWorker._compute_position_ids(worker, ids, torch.ones_like(ids), inputs)
    return {
        "input_ids": ids[0],
        "position_ids": positions[0],
        "loss_mask": torch.ones(row.response, dtype=torch.long),
        "multi_modal_inputs": inputs,
    }


def verl_batch(rows: list[dict[str, Any]], **settings: Any) -> TensorDict:
    """Rows in the form that verl's engine takes, with what the trainer tells it beside them."""
    columns = {
        name: tu.nested_tensor_from_tensor_list([row[name] for row in rows])
        for name in ("input_ids", "position_ids", "loss_mask")
    }
    columns["multi_modal_inputs"] = NonTensorStack(*(row["multi_modal_inputs"] for row in rows))
    data = TensorDict(columns, batch_size=[len(rows)])
    tu.assign_non_tensor(data, temperature=1.0, use_dynamic_bsz=False, use_fused_kernels=False, **settings)
    return data


def round_weights(engine: BaseEngine, dtype: torch.dtype) -> None:
    """Give the float32 weights the values that they have in `dtype`."""
    with torch.no_grad():
        for tensor in engine.module.parameters():
            local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            local.copy_(local.to(dtype))


def main(checkpoint: str, data: str, request: str, out: str, dtype: str) -> int:
    """Write log-probabilities of the rows in the file `request` to the file `out` (npz, one array a row).

    dtype: what the weights are rounded to first.
    """
    asked = json.loads(Path(request).read_text())
    prompts = list(RLData(Path(data)).prompts([row["index"] for row in asked]))
    rows = [TokenRow(tuple(row["input_ids"]), row["response"]) for row in asked]
    initialize_global_process_group()
    engine, model = load_actor(find_shards(Path(checkpoint)))
    round_weights(engine, getattr(torch, dtype))
    scores = actor_log_probs(engine, model, prompts, rows)
    if torch.distributed.get_rank() == 0:
        np.savez(out, *scores)
    destroy_global_process_group()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except (ValueError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)
