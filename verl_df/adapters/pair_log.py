# SPDX-License-Identifier: Apache-2.0
"""Writes the error/repair pairs of a run, with their images, for the report and for people."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image
from qwen_vl_utils import fetch_image

from verl_df.io.json_lines import cut_half_line
from verl_df.method.feedback import GroupResult
from verl_df.method.records import PairWriter, read_records
from verl_df.settings.config import DFConfig

PAIRS_FILE = "pairs.jsonl"
IMAGES_FOLDER = "images"


class PairLog:
    """Appends up to `df.log.pairs_per_step` pairs of a step to `pairs.jsonl`; their images go to `images/`, once
    each.
    """

    def __init__(self, folder: Path, pairs_per_step: int):
        self._folder, self._limit = folder, pairs_per_step
        self._writer: PairWriter | None = None

    @classmethod
    def from_config(cls, config: DictConfig, df: DFConfig) -> "PairLog":
        """The log of a run; nothing is created before the first pair."""
        return cls(Path(df.log.dir or Path(config.trainer.default_local_dir) / "df"), df.log.pairs_per_step)

    def start_after(self, step: int) -> None:
        """Keep the pairs of an earlier run in the same folder up to the step that this one goes on from (0: none).

        The steps after it are done again, and would be in the file twice. The file as it was is set aside.
        """
        path = self._folder / PAIRS_FILE
        if not path.exists():
            return
        aside = self._folder / f"pairs.{len(list(self._folder.glob('pairs.*.jsonl'))) + 1}.jsonl"
        path.rename(aside)
        if step > 0:
            cut_half_line(aside)  # of a run that was killed
            for record in read_records(aside):
                if record.step <= step:
                    self._open().write(record)

    def write(self, results: Sequence[GroupResult], messages: dict[str, list[dict[str, Any]]]) -> None:
        """Write one step's pairs, the same number from each prompt as far as they go.

        Args:
            results: the groups of the step.
            messages: by uid, the prompt's messages with its images.
        """
        queues = [list(result.records) for result in results]
        chosen = []
        while any(queues) and (self._limit < 0 or len(chosen) < self._limit):
            chosen += [queue.pop(0) for queue in queues if queue]
        for record in chosen if self._limit < 0 else chosen[: self._limit]:
            folder = self._folder / IMAGES_FOLDER
            images = tuple(save_image(item, folder) for item in image_items(messages[record.uid]))
            self._open().write(dataclasses.replace(record, images=images))

    def _open(self) -> PairWriter:
        if self._writer is None:
            self._writer = PairWriter(self._folder / PAIRS_FILE)
        return self._writer


def save_image(item: dict[str, Any], folder: Path) -> str:
    """Write an image item as PNG, unless the same picture is there. Returns its file name."""
    picture: Image.Image = fetch_image(item)
    name = hashlib.sha256(picture.tobytes()).hexdigest()[:16] + ".png"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)
    return name


def image_items(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The image items of a prompt's messages, in order."""
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return [item for content in contents for item in content if item["type"] == "image"]


def prompt_text(messages: Sequence[dict[str, Any]]) -> str:
    """A prompt's messages as plain text, `<image>` or `<video>` where media stand."""
    lines = []
    for message in messages:
        content = message["content"]
        items = [{"type": "text", "text": content}] if isinstance(content, str) else content
        lines.append("".join(item["text"] if item["type"] == "text" else f"<{item['type']}>" for item in items))
    return "\n".join(lines)
