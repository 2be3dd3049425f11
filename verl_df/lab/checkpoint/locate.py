# SPDX-License-Identifier: Apache-2.0
"""Where in a run's folders the shards of a model are, and whether they are all there.

verl's layout (trainer/ppo/v1/trainer_base.py `_save_checkpoint`, utils/checkpoint/fsdp_checkpoint_manager.py):
CHECKPOINTS/latest_checkpointed_iteration.txt, CHECKPOINTS/global_step_N/{actor,critic}/; the SFT trainer leaves out the
folder `actor`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.files import read_object

LATEST = "latest_checkpointed_iteration.txt"
FSDP_CONFIG = "fsdp_config.json"
LORA_META = "lora_train_meta.json"
_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


@dataclass(frozen=True)
class Shards:
    """A model of which every rank wrote a part.

    Attributes:
        folder: where the parts are.
        world_size: number of ranks.
        fsdp_version: 1 or 2, the FSDP that wrote them.
    """

    folder: Path
    world_size: int
    fsdp_version: int

    @property
    def huggingface(self) -> Path:
        """Configuration, tokenizer and processor, as the trainer saved them."""
        return self.folder / "huggingface"

    def path(self, rank: int) -> Path:
        """The file of one rank."""
        return self.folder / f"model_world_size_{self.world_size}_rank_{rank}.pt"

    def lora(self) -> dict[str, Any] | None:
        """r, lora_alpha and task_type of the adapters that were trained; None: verl noted none."""
        path = self.folder / LORA_META
        return read_object(path) if path.is_file() else None


def find_actor(checkpoint: Path) -> Path:
    """The folder with the shards of `checkpoint`.

    Args:
        checkpoint: such a folder itself (.../global_step_N/actor), .../global_step_N, a folder with verl's note of its
            newest checkpoint, or the folder of a run that holds such a one as `checkpoints`.

    Raises:
        FileNotFoundError: there is none; the message says what was looked for.
        ValueError: the note of the newest checkpoint is no number.
    """
    if not checkpoint.is_dir():
        raise FileNotFoundError(f"{checkpoint}: no such folder; give a checkpoint of verl (.../global_step_N)")
    for place in (checkpoint, checkpoint / "actor"):
        if (place / FSDP_CONFIG).is_file():
            return place
    for place in (checkpoint, checkpoint / "checkpoints"):
        if (place / LATEST).is_file():
            return _newest(place)
    raise FileNotFoundError(
        f"{checkpoint}: no checkpoint of verl's FSDP engine: neither {FSDP_CONFIG} or actor/{FSDP_CONFIG} nor {LATEST} "
        f"or checkpoints/{LATEST} is there"
    )


def step_of(actor: Path) -> int | None:
    """N of the global_step_N that `actor` is or lies in; None: neither has such a name."""
    for folder in (actor, actor.parent):
        number = folder.resolve().name.removeprefix("global_step_")
        if number.isdecimal():
            return int(number)
    return None


def find_shards(checkpoint: Path) -> Shards:
    """The shards of `checkpoint`, of which every file is there.

    Raises:
        FileNotFoundError: as `find_actor`; a rank's file or `huggingface/` is missing.
        ValueError: unreadable notes; the files are those of another number of ranks.
    """
    folder = find_actor(checkpoint)
    config = read_object(folder / FSDP_CONFIG)
    size, version = config.get("world_size"), config.get("FSDP_version")
    if not (isinstance(size, int) and size >= 1 and version in (1, 2)):
        raise ValueError(f"{folder / FSDP_CONFIG}: world_size must be 1 or more and FSDP_version 1 or 2, not {config}")
    shards = Shards(folder, size, version)
    _check_ranks(shards)
    if not (shards.huggingface / "config.json").is_file():
        raise FileNotFoundError(
            f"{shards.huggingface}: no config.json; verl's save writes it beside the shards, so it was removed or the "
            "save was cut off: copy the folder from another checkpoint of the run"
        )
    return shards


def _newest(checkpoints: Path) -> Path:
    text = (checkpoints / LATEST).read_text(encoding="utf-8").strip()
    if not text.isdecimal():
        raise ValueError(f"{checkpoints / LATEST}: {text!r} is no step; give the checkpoint itself (.../global_step_N)")
    step = checkpoints / f"global_step_{text}"
    for place in (step / "actor", step):
        if (place / FSDP_CONFIG).is_file():
            return place
    raise FileNotFoundError(f"{step}: {LATEST} names it, but it has neither {FSDP_CONFIG} nor actor/{FSDP_CONFIG}")


def _check_ranks(shards: Shards) -> None:
    found = {
        (int(match[1]), int(match[2])) for path in shards.folder.iterdir() if (match := _SHARD.fullmatch(path.name))
    }
    if not found:
        raise FileNotFoundError(
            f"{shards.folder}: no model shards (model_world_size_*_rank_*.pt); was the run told to save others only "
            "(actor.checkpoint.save_contents without 'model')?"
        )
    sizes = sorted({size for size, _ in found})
    if sizes != [shards.world_size]:
        raise ValueError(
            f"{shards.folder}: {FSDP_CONFIG} says {shards.world_size} ranks, the shards are of {sizes}: remove those "
            "of another run"
        )
    missing = [rank for rank in range(shards.world_size) if (shards.world_size, rank) not in found]
    if missing:
        raise FileNotFoundError(
            f"{shards.path(missing[0])}: no such file ({len(missing)} of {shards.world_size} ranks are missing); copy "
            "the shards of every machine of the run into one folder"
        )
