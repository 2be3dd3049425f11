# SPDX-License-Identifier: Apache-2.0
"""The files of one repair set."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from verl_df.io.files import write_json
from verl_df.lab.repair_data.records import check_keys, json_object
from verl_df.lab.resume import check_same_settings


@dataclass(frozen=True)
class SampleSettings:
    """What the sampled set depends on, kept in `settings.json`. A run that goes on with other settings is refused.

    model: folder or hub name of the policy. data: RL parquet file; data_rows, data_bytes: its size, to notice another
    file of the same name. per_prompt: G, responses a prompt. max_tokens: of a response. image_removal: "blank" or
    "noise", of x_∅ (Eq. 3). text_only_samples: K, responses to x_∅; 0: no filter. text_only_threshold: a prompt goes
    when at least this share of the K is right. reference: "sibling", "answer" or "mixed"; answer_share: of "mixed";
    answer_fallback: the annotated answer serves where there is no correct sibling. reward_path, reward_name: verl's
    custom reward function; no path: verl's default.
    """

    model: str
    data: str
    data_rows: int
    data_bytes: int
    per_prompt: int
    temperature: float
    top_p: float
    max_tokens: int
    image_removal: str
    text_only_samples: int
    text_only_threshold: float
    reference: str
    answer_share: float
    answer_fallback: bool
    reward_path: str | None
    reward_name: str
    seed: int


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
