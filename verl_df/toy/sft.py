# SPDX-License-Identifier: Apache-2.0
"""Run verl's own SFT trainer on the toy data, with one progress line instead of its log."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from tqdm import tqdm

from verl_df.platform.environment import cpu_environment
from verl_df.toy.settings import SftSettings

_STEP = re.compile(r"\bstep:(\d+)\b.*?train/loss:([\d.eE+-]+)")
TAIL_LINES = 40


def sft_command(model: Path, data: Path, checkpoints: Path, settings: SftSettings) -> list[str]:
    """Command line of `verl.trainer.sft_trainer` for one process on the CPU platform."""
    overrides = {
        "data.train_files": data,
        "data.train_batch_size": settings.batch,
        "data.micro_batch_size_per_gpu": settings.batch,
        "data.use_dynamic_bsz": False,
        "data.num_workers": 1,  # tokenises on the other core
        "data.max_length": 512,
        "model.path": model,
        "model.use_remove_padding": False,
        "model.enable_gradient_checkpointing": False,
        "+model.override_config.attn_implementation": "sdpa",
        "engine.strategy": "fsdp2",
        "engine.use_torch_compile": False,
        # bfloat16 autocast, verl's default, is twice as slow on a CPU.
        "+engine.mixed_precision": "{param_dtype:fp32,reduce_dtype:fp32,buffer_dtype:fp32}",
        "optim.lr": settings.lr,
        "optim.betas": "[0.9,0.98]",
        "optim.lr_warmup_steps": settings.warmup,
        "optim.lr_scheduler_type": "cosine",
        "optim.min_lr_ratio": 0.05,
        "checkpoint.save_contents": "[hf_model]",
        "trainer.default_local_dir": checkpoints,
        "trainer.total_training_steps": settings.steps,
        "trainer.total_epochs": settings.steps,  # the number of steps ends the run, never that of epochs
        "trainer.logger": "[console]",
        "trainer.device": "cpu",
        "trainer.resume_mode": "disable",
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    return [*launcher, "-m", "verl.trainer.sft_trainer", *(f"{key}={value}" for key, value in overrides.items())]


def run_sft(model: Path, data: Path, out: Path, log: Path, settings: SftSettings) -> None:
    """Train `model` on `data` and write the trained Hugging Face folder `out`.

    Args:
        model: Hugging Face folder to start from.
        data: parquet with the columns `messages` and `images`.
        out: folder to write; replaced where it exists.
        log: file that receives everything the trainer prints.
        settings: steps, batch size, learning rate.

    Raises:
        RuntimeError: if the trainer fails; the message ends with the last lines of its log.
    """
    checkpoints = out.with_name(f"{out.name}.checkpoints")
    log.parent.mkdir(parents=True, exist_ok=True)
    # What the user has set himself wins over the platform's defaults.
    environment = {"TRANSFORMERS_VERBOSITY": "error", **cpu_environment(), **os.environ}
    command = sft_command(model, data, checkpoints, settings)
    with (
        log.open("w") as log_file,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as trainer,
    ):
        assert trainer.stdout is not None
        tail = show_progress(trainer.stdout, log_file, settings.steps, out.name)
    if trainer.returncode != 0:
        raise RuntimeError(f"SFT of {out.name} failed (exit code {trainer.returncode}, log: {log}):\n{tail}")
    export(checkpoints / f"global_step_{settings.steps}" / "huggingface", model, out)
    shutil.rmtree(checkpoints)


def show_progress(lines: Iterable[str], log_file, steps: int, label: str) -> str:
    """Copy every line to the log and show step and loss as one progress bar. Returns the last lines of the log."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with tqdm(total=steps, desc=f"SFT {label}", unit="step", mininterval=5.0) as bar:
        for line in lines:
            log_file.write(line)
            tail.append(line)
            if found := _STEP.search(line):
                bar.set_postfix_str(f"loss {float(found[2]):.3f}", refresh=False)
                bar.update(int(found[1]) - bar.n)
    return "".join(tail)


def export(checkpoint: Path, start: Path, out: Path) -> None:
    """Write `out`: the folder `start` with the checkpoint's weights.

    verl's own export says "bfloat16" in its configuration although the weights are float32, and leaves out the files
    of the slow tokenizer; the start folder has both right, and the architecture is the same.

    Raises:
        ValueError: if the checkpoint's tensors are not those of `start`.
    """
    weights = checkpoint / "model.safetensors"
    expected, found = _signature(start / "model.safetensors"), _signature(weights)
    if expected != found:
        differing = sorted(expected.items() ^ found.items())[:3]
        raise ValueError(f"{weights} does not hold the tensors of {start}: they differ in {differing}")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(start, out)
    shutil.copyfile(weights, out / "model.safetensors")


def _signature(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    with safe_open(path, "pt") as tensors:
        return {
            name: (tensors.get_slice(name).get_dtype(), tuple(tensors.get_slice(name).get_shape()))
            for name in tensors.keys()  # noqa: SIM118 (a safetensors file is no mapping)
        }
