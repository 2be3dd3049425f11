# SPDX-License-Identifier: Apache-2.0
"""The folder of one evaluation: its settings, its rows and its samples, from which all figures are made."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from verl_df.io.files import read_object, write_json
from verl_df.io.lines import Lines
from verl_df.lab.resume import check_same_settings

T = TypeVar("T")


class RunFolder(Generic[T]):
    """Paths of an evaluation, and what must stay the same while it is made. `root` need not exist yet.

    Attributes:
        settings: settings.json.
        rows: what is asked, a JSON line each.
        samples: what was answered.
        rows_name, lines: file and format of the rows.
        free: settings that samples do not depend on; a run may go on with others.
        needed: settings without which it is no evaluation, with their kinds.
    """

    rows_name: ClassVar[str]
    lines: ClassVar[Lines]
    free: ClassVar[frozenset[str]]
    needed: ClassVar[Mapping[str, type]]

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / "settings.json"
        self.rows = root / self.rows_name
        self.samples = root / "samples.jsonl"

    def keep(self, settings: Mapping[str, Any], rows: Sequence[T]) -> None:
        """Write settings and rows, or compare them with those of the run that goes on here.

        Raises:
            ValueError: what differs.
        """
        if self.settings.exists():
            kept = {name: value for name, value in settings.items() if name not in self.free}
            check_same_settings(self.root, self.read_settings(), kept)
        if self.rows.exists():
            if list(self.lines.read(self.rows)) != list(rows):
                raise ValueError(f"{self.rows}: the data have changed since; give the old files, or another --out")
        else:
            self.lines.write(self.rows, rows)
        write_json(self.settings, dict(settings))

    def read_settings(self) -> dict[str, Any]:
        """The settings. Raises: ValueError for a file of another kind, FileNotFoundError for none."""
        if not self.settings.is_file():
            raise FileNotFoundError(f"{self.root} holds no {self.settings.name}: it is no evaluation")
        content = read_object(self.settings)
        wrong = [name for name, kind in self.needed.items() if not _is(content.get(name), kind)]
        if wrong:
            raise ValueError(
                f"{self.settings}: not the settings of an evaluation (missing or of another kind: {', '.join(wrong)})"
            )
        return content

    def read_rows(self) -> list[T]:
        """The rows of a finished evaluation. Raises: FileNotFoundError where it is not finished."""
        for path in (self.rows, self.samples):
            if not path.is_file():
                raise FileNotFoundError(f"{self.root} holds no {path.name}: it is no finished evaluation")
        return list(self.lines.read(self.rows))


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is kind and (kind is not int or value >= 0)
