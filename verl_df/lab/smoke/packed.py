# SPDX-License-Identifier: Apache-2.0
"""Packed rows against padded ones: the same log-probabilities from verl's engine, whatever lies beside a row.

On a GPU packed rows go through flash-attn, which knows bfloat16 only, and padded ones through torch's attention.
"""

import os
import random
import socket
from pathlib import Path
from typing import Any

import torch
from verl.trainer.config import CheckpointConfig
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import BaseEngine, EngineRegistry
from verl.workers.utils.padding import response_from_nested

from verl_df.io.streams import batches
from verl_df.lab.checkpoint.actor import verl_batch, verl_row
from verl_df.lab.checkpoint.sequences import TokenRow, compare, prompt_inputs
from verl_df.lab.rl_data import RLData
from verl_df.lab.smoke.outcome import Outcome
from verl_df.lab.smoke.settings import Shared

_ROWS, _PADDING_ROWS = 14, 2
_PADDING_TOKENS = 128  # verl's SYNTHETIC_PADDING_SEQ_LEN
_IN_A_PACK = 5  # 16 rows: the last pack has one
# Largest and mean difference of a token's log-probability, by precision.
_LIMITS = {"fp32": (1e-4, 1e-5), "bf16": (0.15, 0.02)}


def run(shared: Shared) -> Outcome:
    """Compare them in the precision of the platform."""
    outcome, precision = Outcome("packed", shared.gpu), "bf16" if shared.gpu else "fp32"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in ranks.items()})
    initialize_global_process_group()
    folder = shared.model("policy", seed=0)
    rows = _rows(HFModelConfig(path=str(folder)), shared.rows)
    scores = {packed: _log_probs(folder, rows, packed, precision, shared.gpu) for packed in (False, True)}
    destroy_global_process_group()
    found = compare(scores[True], scores[False])
    outcome.check("rows compared", found.rows, "==", _ROWS + _PADDING_ROWS)
    outcome.check(f"largest difference of a log-probability ({precision})", found.maximum, "<=", _LIMITS[precision][0])
    outcome.check(f"mean difference ({precision})", found.mean, "<=", _LIMITS[precision][1])
    if shared.gpu:
        outcome.figures["peak_memory_gib"] = torch.cuda.max_memory_reserved() / 2**30
    return outcome


def _rows(model: HFModelConfig, data: Path) -> list[dict[str, Any]]:
    """Prompts with responses of 1 to 40 random tokens, and between them rows as verl pads with: without a picture."""
    draw, made = random.Random(0), []
    known = len(model.tokenizer) - 32  # the last ones are special
    for prompt in RLData(data).prompts(range(_ROWS)):
        ids = prompt_inputs(model.processor, prompt)["input_ids"][0].tolist()
        response = [draw.randrange(known) for _ in range(1 if prompt.index == 3 else draw.randint(2, 40))]
        made.append(verl_row(model, prompt, TokenRow((*ids, *response), len(response))))
    for place in (4, 9):
        made.insert(place, _padding_row(made[0], model.tokenizer.eos_token_id))
    return made


def _padding_row(like: dict[str, Any], end: int) -> dict[str, Any]:
    """As verl's `construct_minimal_padding_template`: end tokens, counted positions, no picture."""
    positions = torch.arange(_PADDING_TOKENS)
    if like["position_ids"].dim() > 1:
        positions = positions.expand(like["position_ids"].shape[0], -1).clone()
    return {
        "input_ids": torch.full((_PADDING_TOKENS,), end),
        "position_ids": positions,
        "loss_mask": torch.ones(_PADDING_TOKENS // 2, dtype=torch.long),
        "multi_modal_inputs": {},
    }


def _log_probs(folder: Path, rows: list[dict[str, Any]], packed: bool, precision: str, gpu: bool) -> list:
    """Log-probabilities of the responses, float32 [response_length] each, in the order of the rows."""
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=str(folder),
            use_remove_padding=packed,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "flash_attention_2" if packed and gpu else "sdpa"},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            model_dtype="fp32",
            mixed_precision={"param_dtype": precision, "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
            use_torch_compile=False,
            use_dynamic_bsz=False,
            infer_micro_batch_size_per_gpu=1,
        ),
        optimizer_config=FSDPOptimizerConfig(lr=0.0, total_training_steps=1),
        checkpoint_config=CheckpointConfig(save_contents=["model"], load_contents=["model"]),
    )
    engine.initialize()
    with engine.eval_mode():
        return [score for pack in batches(rows, _IN_A_PACK) for score in _of_pack(engine, list(pack), packed)]


def _of_pack(engine: BaseEngine, rows: list[dict[str, Any]], packed: bool) -> list:
    """One micro-batch, or padded one for each row."""
    masks = torch.nested.as_nested_tensor([row["loss_mask"] for row in rows], layout=torch.jagged)
    data = verl_batch(rows, use_remove_padding=packed, micro_batch_size_per_gpu=len(rows) if packed else 1)
    scores = response_from_nested(engine.infer_batch(data)["model_output"]["log_probs"], masks)
    return [score.float().cpu().numpy() for score in scores.unbind()]
