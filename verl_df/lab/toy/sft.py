# SPDX-License-Identifier: Apache-2.0
"""Run verl's own SFT trainer on the toy data, with one progress line instead of its log, and a ledger of its time."""

import hashlib
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open
from tqdm import tqdm

from verl_df.lab.toy.settings import SftSettings
from verl_df.ledger.spent import LEDGER_FILE
from verl_df.platform import warm
from verl_df.platform.environment import cpu_environment

_STEP = re.compile(r"\bstep:(\d+)\b.*?train/loss:([\d.eE+-]+)")
TAIL_LINES = 40
WEIGHTS = "model.safetensors"


def sft_command(model: Path, data: Path, checkpoints: Path, settings: SftSettings) -> list[str]:
    """Command line of verl's SFT trainer with a ledger, for one process on the CPU platform."""
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
        "checkpoint.save_contents": "[model,optimizer,extra,hf_model]",
        "trainer.default_local_dir": checkpoints,
        "trainer.total_training_steps": settings.steps,
        "trainer.total_epochs": settings.steps,  # the number of steps ends the run, never that of epochs
        "trainer.logger": "[console]",
        "trainer.device": "cpu",
        "trainer.save_freq": settings.save_every,
        # With 1, verl removes the old checkpoint before the new one is complete.
        "trainer.max_ckpt_to_keep": 2,
        "trainer.resume_mode": "auto",
    }
    launcher = [warm.python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    return [*launcher, "-m", "recipe.df.main_repair_sft", *(f"{key}={value}" for key, value in overrides.items())]


def run_sft(model: Path, data: Path, out: Path, log: Path, settings: SftSettings) -> None:
    """Train `model` on `data` and write the trained Hugging Face folder `out`, and what it took to `ledger_of(out)`.

    A run that was interrupted goes on from its last checkpoint, if it began with the same model, data and settings.

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
    environment = {**cpu_environment(), "PYTHON_EXEC": warm.python(), **os.environ}  # the first: torch's launcher's
    command = sft_command(model, data, checkpoints, settings)
    first = prepare_checkpoints(checkpoints, command, (model / WEIGHTS, data))
    print(f"SFT {out.name}: " + (f"going on after step {first}, " if first else "") + f"log in {log}", flush=True)
    if first < settings.steps:
        with log.open("w") as log_file, _started(command, environment) as trainer:
            tail = show_progress(trainer.stdout, log_file, settings.steps, out.name, first)
        if trainer.returncode != 0:
            raise RuntimeError(f"SFT of {out.name} failed (exit code {trainer.returncode}, log: {log}):\n{tail}")
    ledger_of(out).parent.mkdir(exist_ok=True)
    shutil.copyfile(checkpoints / LEDGER_FILE, ledger_of(out))
    export(checkpoints / f"global_step_{settings.steps}" / "huggingface", model, out)
    shutil.rmtree(checkpoints)


def ledger_of(model: Path) -> Path:
    """The ledger of the training that wrote a model's folder: beside it, since a next training copies that folder."""
    return model.parent / "ledgers" / f"{model.name}.jsonl"


def _started(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def prepare_checkpoints(folder: Path, command: list[str], inputs: tuple[Path, ...]) -> int:
    """Leave in `folder` only checkpoints of the run that is about to start. Returns the step that it goes on from.

    Args:
        folder: where the trainer saves.
        command: the trainer's command line, with all settings.
        inputs: files that the run begins with.

    Raises:
        FileNotFoundError: an input is missing.
    """
    digest = hashlib.sha256(repr(command).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    stamp = folder / "stamp"
    if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(digest.hexdigest())
    newest = folder / "latest_checkpointed_iteration.txt"  # verl writes it last, and in one go
    return int(newest.read_text()) if newest.is_file() else 0


def show_progress(lines: Iterable[str], log_file, steps: int, label: str, first: int = 0) -> str:
    """Copy every line to the log and show step and loss as one progress bar. Returns the last lines of the log.

    first: the step that the run goes on from.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with tqdm(total=steps, initial=first, desc=f"SFT {label}", unit="step", mininterval=5.0) as bar:
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
    weights = checkpoint / WEIGHTS
    expected, found = _signature(start / WEIGHTS), _signature(weights)
    if expected != found:
        differing = sorted(expected.items() ^ found.items())[:3]
        raise ValueError(f"{weights} does not hold the tensors of {start}: they differ in {differing}")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(start, out)
    shutil.copyfile(weights, out / WEIGHTS)


def _signature(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    with safe_open(path, "pt") as tensors:
        return {
            name: (tensors.get_slice(name).get_dtype(), tuple(tensors.get_slice(name).get_shape()))
            for name in tensors.keys()  # noqa: SIM118 (a safetensors file is no mapping)
        }
