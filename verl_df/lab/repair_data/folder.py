# SPDX-License-Identifier: Apache-2.0
"""The files of one repair set."""

from dataclasses import asdict
from pathlib import Path

from verl_df.io.files import write_json
from verl_df.io.lines import Lines
from verl_df.lab.repair_data.settings import SampleSettings
from verl_df.lab.resume import check_same_settings

_SETTINGS = Lines(SampleSettings, version=None, what="a set's settings")


class SetFolder:
    """Paths of a repair set. `root` need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / "settings.json"
        self.columns = root / "columns.parquet"
        self.prompts = root / "prompts.jsonl"
        self.samples = root / "samples.jsonl"
        self.images = root / "images"
        self.summary = root / "summary.json"
        self.forms = root / "forms"
        self.repairs = root / "repairs.jsonl"
        self.rejected = root / "rejected.jsonl"

    def check_sampled(self) -> None:
        """Raise FileNotFoundError unless `sample` has been here."""
        for path in (self.settings, self.columns, self.samples):
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: no such file; write the set with `verl-df repair-data sample --out {self.root}`"
                )

    def read_settings(self) -> SampleSettings:
        """The settings of the set. Raises: ValueError for a file that another version wrote."""
        try:
            return _SETTINGS.load(self.settings.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.settings}: {error}; sample into another folder") from error

    def keep_settings(self, settings: SampleSettings) -> None:
        """Write the settings, or compare them with those that are there.

        Raises: ValueError with what differs.
        """
        if self.settings.exists():
            check_same_settings(self.root, asdict(self.read_settings()), asdict(settings))
        else:
            write_json(self.settings, asdict(settings))
