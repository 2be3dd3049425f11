# SPDX-License-Identifier: Apache-2.0
"""What W&B and TensorBoard get besides verl's numbers: groups of metrics, tables of pairs, the run's configuration.

Both draw one section for each name before the first slash, so that all of `df/` would be one of a hundred charts. There
`df/repair/draft_tokens` is `df_repair/draft_tokens`; in `metrics.jsonl` and on the console names stay as they are.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Any

import verl.utils.tracking as verl_tracking

from verl_df.method.records import PairRecord, TokenSide
from verl_df.platform.patching import replace_everywhere

GROUPING = ("wandb", "tensorboard")  # backends that draw sections
TABLE_ROWS = 16
TABLE = "df_pairs/table"
COLUMNS = ("step", "uid", "prompt", "reference", "error", "repair", "reward", "edit_distance", "rejections")
PACKAGES = ("verl", "vllm", "torch", "transformers", "ray")

Row = tuple[int, str, str, str, str, str | None, float, int | None, str]


def grouped(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The same metrics with `df/a/b` called `df_a/b`; names of two parts, and verl's own, stay."""
    return {_section(name): value for name, value in metrics.items()}


def _section(name: str) -> str:
    first, *rest = name.split("/", 2)
    return f"df_{rest[0]}/{rest[1]}" if first == "df" and len(rest) == 2 else name


def pair_row(record: PairRecord) -> Row:
    """A pair as one line of a table, under `COLUMNS`; masked tokens stand in ⟦brackets⟧."""
    rejections = ", ".join(reason for reason in record.rejections if reason)
    repair = None if record.repair is None else marked(record.repair)
    head = (record.step, record.uid, record.prompt, record.reference, marked(record.error), repair)
    return (*head, record.error.reward, record.edit_distance, rejections)


def marked(side: TokenSide) -> str:
    """The text of one side, each run of masked tokens in brackets."""
    text, inside = "", 0
    for token, mask in zip((*side.tokens, ""), (*side.mask, 0), strict=True):
        text += ("⟦" if mask else "⟧") * (mask != inside) + token
        inside = mask
    return text


def versions() -> dict[str, str]:
    """Of Python and of the packages that a run's figures depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


class DFTracking(verl_tracking.Tracking):
    """Takes the place of `verl.utils.tracking.Tracking`: the same backends, of which W&B and TensorBoard get more.

    verl gives the configuration to W&B, and not to TensorBoard; the versions to neither.
    """

    def __init__(
        self,
        project_name: str,
        experiment_name: str,
        default_backend: str | list[str] = "console",
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(project_name, experiment_name, default_backend, config)
        if "wandb" in self.logger:
            self.logger["wandb"].config.update({"versions": versions()}, allow_val_change=True)
        if "tensorboard" in self.logger:
            self._text("run/versions", json.dumps(versions(), indent=2), 0)
            if config is not None:
                self._text("run/config", json.dumps(config, indent=2, ensure_ascii=False), 0)

    def log(self, data: Mapping[str, Any], step: int, backend: Sequence[str] | None = None) -> None:
        """Log a step's metrics with every backend, or with those named."""
        wanted = [name for name in self.logger if backend is None or name in backend]
        super().log(grouped(data), step, [name for name in wanted if name in GROUPING])
        super().log(data, step, [name for name in wanted if name not in GROUPING])

    def log_pairs(self, records: Sequence[PairRecord], step: int) -> None:
        """Log a table of a step's first pairs, at most `TABLE_ROWS`; without a pair there is none."""
        rows = [pair_row(record) for record in records[:TABLE_ROWS]]
        if rows and "wandb" in self.logger:
            wandb = self.logger["wandb"]
            wandb.log({TABLE: wandb.Table(columns=list(COLUMNS), data=[list(row) for row in rows])}, step=step)
        if rows and "tensorboard" in self.logger:
            blocks = ("\n".join(f"{name}: {value}" for name, value in zip(COLUMNS, row, strict=True)) for row in rows)
            self._text(TABLE, "\n\n".join(blocks), step)

    def _text(self, tag: str, text: str, step: int) -> None:
        """TensorBoard reads Markdown: only as a block of code is what a model wrote no link, picture or heading."""
        lines = [f"    {line}" for line in text.splitlines()]
        self.logger["tensorboard"].writer.add_text(tag, "\n".join(lines), step)


def patch(tracking: ModuleType) -> None:
    """Put the class in the place of verl's. `tracking`: the module `verl.utils.tracking`."""
    replace_everywhere(tracking, "Tracking", DFTracking)
