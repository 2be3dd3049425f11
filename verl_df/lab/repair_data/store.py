# SPDX-License-Identifier: Apache-2.0
"""The growing part of a set: samples and counts, appended batch by batch so that a killed run can go on."""

import os
from collections.abc import Iterable
from pathlib import Path

from verl_df.io.files import whole_file
from verl_df.io.json_lines import cut_half_line
from verl_df.io.pictures import as_png
from verl_df.lab.repair_data.choose import COUNTS, PromptCount
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import SAMPLES, RepairSample
from verl_df.lab.rl_data import Prompt


class SampleStore:
    """Appends to `samples.jsonl`, `prompts.jsonl` and `images`.

    A prompt is finished when its line is in `prompts.jsonl`, which is written last. Opening repairs what a kill left: a
    half-written last line goes, and so do samples of unfinished prompts.

    Attributes: counts: one for each finished prompt, by its row number.

    Raises: ValueError where a line in the middle cannot be read, or the two files do not belong together.
    """

    def __init__(self, folder: SetFolder) -> None:
        self._folder = folder
        folder.images.mkdir(parents=True, exist_ok=True)
        for path in (folder.prompts, folder.samples):
            path.touch()
            cut_half_line(path)
        self.counts = {count.prompt_index: count for count in COUNTS.read(folder.prompts)}
        self._drop_unfinished()

    @property
    def kept(self) -> int:
        """Samples written so far."""
        return sum(count.kept for count in self.counts.values())

    def append(self, batch: Iterable[tuple[Prompt, list[RepairSample], PromptCount]]) -> None:
        """Write the outcome of some prompts; they are on the disk when this returns."""
        batch = list(batch)
        for prompt, samples, _ in batch:
            if samples:
                self._write_images(prompt)
        _append(self._folder.samples, (SAMPLES.dump(sample) for _, samples, _ in batch for sample in samples))
        _append(self._folder.prompts, (COUNTS.dump(count) for _, _, count in batch))
        self.counts.update((count.prompt_index, count) for _, _, count in batch)

    def _write_images(self, prompt: Prompt) -> None:
        for name, content in zip(prompt.image_names(), prompt.images, strict=True):
            path = self._folder.images / name
            if not path.exists():
                partial = path.with_suffix(".partial")
                partial.write_bytes(as_png(content))
                os.replace(partial, path)

    def _drop_unfinished(self) -> None:
        """Keep the samples of finished prompts only, and see that none of theirs is missing."""
        path, found, other = self._folder.samples, 0, 0
        for sample in SAMPLES.read(path):
            finished = sample.prompt_index in self.counts
            found, other = found + finished, other + (not finished)
        if found != self.kept:
            raise ValueError(
                f"{path} holds {found} samples of the prompts in {self._folder.prompts.name}, which says {self.kept}: "
                "the files do not belong together; sample into another folder"
            )
        if other:
            with whole_file(path) as file:
                for sample in SAMPLES.read(path):
                    if sample.prompt_index in self.counts:
                        file.write(SAMPLES.dump(sample) + "\n")


def _append(path: Path, lines: Iterable[str]) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
