# SPDX-License-Identifier: Apache-2.0
"""Does the merged model give the trained actor's log-probabilities?

The actor is verl's engine with the trainer's shards (`actor`, one process a rank), the merged model plain transformers,
both in float32. Where the merge rounded, the actor is also asked with its weights rounded in the same way, so that no
error of the merge can hide behind the rounding.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, PreTrainedModel, ProcessorMixin
from verl.utils.device import get_device_name, get_torch_device
from verl.utils.tokenizer import get_processor_token_id

from verl_df.lab.checkpoint.locate import Shards, find_shards
from verl_df.lab.checkpoint.lora import load_model
from verl_df.lab.checkpoint.sequences import Difference, TokenRow, compare, log_probs, prompt_inputs, with_response
from verl_df.lab.generation import load_processor
from verl_df.lab.rl_data import Prompt, RLData

# Largest difference of one token's log-probability that passes: two float32 implementations of the same weights sum in
# another order. Measured on the toy, on a CPU: 1.4e-6; one tensor off by a thousandth of its size gives 5e-4, weights
# rounded to bfloat16 6e-3 (docs/checkpoints.md).
TOLERANCE = 1e-4
_TAIL = 2000


class ActorFailed(RuntimeError):
    """A process of the trained actor ended with an error that is not the user's; the message ends with its log."""


@dataclass(frozen=True)
class Outcome:
    """How far the merged model is from the trained actor.

    Attributes:
        dtype: of the merged model, by its config.json.
        trained: against the actor as trained.
        rounded: against the actor with its weights rounded to `dtype`; None where that was not needed.
    """

    dtype: str
    trained: Difference
    rounded: Difference | None

    @property
    def judged(self) -> Difference:
        """What the tolerance applies to."""
        return self.rounded or self.trained


@dataclass(frozen=True)
class Asked:
    """The input of both models; prompts and rows are in the same order."""

    data: Path
    prompts: list[Prompt]
    rows: list[TokenRow]

    def write(self, path: Path) -> None:
        """For the actor's processes."""
        rows = [{"index": prompt.index, **asdict(row)} for prompt, row in zip(self.prompts, self.rows, strict=True)]
        path.write_text(json.dumps(rows), encoding="utf-8")


def check_merged(
    checkpoint: Path, merged: Path, data: Path, rows: int, max_tokens: int, tolerance: float = TOLERANCE
) -> Outcome:
    """Compare log-probabilities of the merged model's own greedy responses to `rows` prompts of `data`.

    Args:
        checkpoint: as `locate.find_actor`.
        merged: Hugging Face folder made of it.
        data: verl's multimodal RL parquet.
        max_tokens: of a response.
        tolerance: difference above which a rounded actor is asked, too.

    Raises:
        FileNotFoundError: data, checkpoint or merged model are missing.
        ValueError: anything else that is wrong with them; adapters that were rounded after folding.
        ActorFailed: see there.
    """
    shards = find_shards(checkpoint)
    if not (merged / "config.json").is_file():
        raise FileNotFoundError(f"{merged}: no config.json; write the model with `verl-df checkpoint merge`")
    dtype = AutoConfig.from_pretrained(merged).dtype or torch.float32
    if shards.lora() and dtype != torch.float32:
        raise ValueError(
            f"{merged}: adapters were folded and then rounded to {dtype}, which the actor cannot be; check a merge "
            "with --dtype float32"
        )
    _check_devices(shards)
    prompts = _prompts(data, rows)
    asked, scores = merged_log_probs(merged, data, prompts, max_tokens)
    trained, rounded = compare(scores, actor_log_probs(shards, asked, "float32")), None
    name = str(dtype).removeprefix("torch.")
    if trained.maximum > tolerance and dtype != torch.float32:
        rounded = compare(scores, actor_log_probs(shards, asked, name))
    return Outcome(name, trained, rounded)


def merged_log_probs(
    merged: Path, data: Path, prompts: list[Prompt], max_tokens: int
) -> tuple[Asked, list[np.ndarray]]:
    """Greedy responses of the merged model, and its log-probabilities of them, float32 [response_length] each."""
    processor = load_processor(str(merged))
    model = load_model(merged, torch.float32).to(get_device_name()).eval()
    rows, scores = [], []
    for prompt in prompts:
        inputs = {name: value.to(model.device) for name, value in prompt_inputs(processor, prompt).items()}
        row = _respond(model, processor, inputs, max_tokens)
        with torch.no_grad():
            logits = model(**with_response(inputs, row)).logits
        rows.append(row)
        scores.append(log_probs(logits, row))
    return Asked(data, prompts, rows), scores


def actor_log_probs(shards: Shards, asked: Asked, dtype: str) -> list[np.ndarray]:
    """Log-probabilities of the trained actor with its weights rounded to `dtype`, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        request, out, log = (Path(folder) / name for name in ("request.json", "out.npz", "log"))
        asked.write(request)
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={shards.world_size}"]
        paths = [str(path) for path in (shards.folder, asked.data, request, out)]
        command = [sys.executable, *launcher, "-m", "verl_df.lab.checkpoint.actor", *paths, dtype]
        environment = {"TRANSFORMERS_VERBOSITY": "error", **os.environ}
        with log.open("w") as file:
            status = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
        if status != 0:
            _tell_failure(log.read_text(errors="replace"))
        with np.load(out) as arrays:
            return [arrays[name] for name in arrays.files]


def _tell_failure(log: str) -> None:
    told = [line for line in log.splitlines() if line.startswith("error: ")]
    if told:
        raise ValueError(told[0].removeprefix("error: "))
    raise ActorFailed(f"the trained actor could not be computed; its log ends with\n{log[-_TAIL:]}")


def _check_devices(shards: Shards) -> None:
    found = get_torch_device().device_count()
    if get_device_name() != "cpu" and found < shards.world_size:
        raise ValueError(
            f"{shards.folder}: was trained on {shards.world_size} ranks, this machine has {found} devices; on the CPU "
            "(source scripts/cpu_env.sh) any number of ranks will do"
        )


def _prompts(data: Path, rows: int) -> list[Prompt]:
    source = RLData(data)
    if rows < 1:
        raise ValueError(f"--rows is {rows}: at least 1")
    chosen = source.choose(rows, seed=0).tolist()
    source.check(chosen)
    return list(source.prompts(chosen))


def _respond(
    model: PreTrainedModel, processor: ProcessorMixin, inputs: dict[str, torch.Tensor], max_tokens: int
) -> TokenRow:
    # a placeholder in a response would need a picture
    banned = [get_processor_token_id(processor, kind) for kind in ("image", "video")]
    with torch.no_grad():
        ids = model.generate(
            **inputs,
            max_new_tokens=max_tokens,
            do_sample=False,
            suppress_tokens=[token for token in banned if token is not None],
        )
    return TokenRow(tuple(ids[0].tolist()), ids.shape[1] - inputs["input_ids"].shape[1])
