# SPDX-License-Identifier: Apache-2.0
"""The files of one repair set."""

from dataclasses import asdict, fields
from pathlib import Path

from verl_df.io.files import write_json
from verl_df.lab.repair_data.records import check_keys, json_object
from verl_df.lab.repair_data.settings import SampleSettings
from verl_df.lab.resume import check_same_settings


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
        names = [field.name for field in fields(SampleSettings)]
        try:
            content = json_object(self.settings.read_text(encoding="utf-8"))
            check_keys(content, required=names, allowed=names)
        except ValueError as error:
            raise ValueError(f"{self.settings}: {error}; sample into another folder") from error
        return SampleSettings(**content)

    def keep_settings(self, settings: SampleSettings) -> None:
        """Write the settings, or compare them with those that are there.

        Raises: ValueError with what differs.
        """
        if self.settings.exists():
            check_same_settings(self.root, asdict(self.read_settings()), asdict(settings))
        else:
            write_json(self.settings, asdict(settings))
