# SPDX-License-Identifier: Apache-2.0
"""People's judgements of audited repairs, a JSON line for each; a later one of the same audit replaces it."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.json_lines import check_names, read_lines, versioned_object
from verl_df.judges.audit_log import AuditRecord, read_audits
from verl_df.judges.failure_mode import check_verdict
from verl_df.method.checks import check_choice

SCHEMA_VERSION = 1
FLAGGED, UNFLAGGED = "flagged", "unflagged"
STRATA = (FLAGGED, UNFLAGGED)


@dataclass(frozen=True)
class Label:
    """One answer.

    id: of the audit. hacking: None where the person skipped it. failure_mode: a `FailureMode`, None with it.
    stratum: what the auditor had said. weight: audits of the stratum in the log for each one drawn; multiplying by it
    undoes the stratified drawing.

    Raises: ValueError for an unknown stratum or mode, hacking without a mode (and the reverse), or a weight below 1.
    """

    id: str
    hacking: bool | None
    failure_mode: str | None
    stratum: str
    weight: float

    def __post_init__(self) -> None:
        check_choice("stratum", self.stratum, STRATA)
        if (self.hacking is None) != (self.failure_mode is None):
            raise ValueError("hacking and failure_mode must be given together, or both be null")
        if self.hacking is not None and self.failure_mode is not None:
            check_verdict(self.hacking, self.failure_mode)
        if not self.weight >= 1:
            raise ValueError(f"weight is {self.weight}: at least 1")


def to_json_line(label: Label) -> str:
    """The label as one line of JSON, without the line break."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **dataclasses.asdict(label)}, allow_nan=False)


def from_json_line(line: str) -> Label:
    """Read one line. Raises: ValueError for no JSON object, another schema version, wrong keys, types or values."""
    content = versioned_object(line, SCHEMA_VERSION, "a label")
    check_names(content, (field.name for field in dataclasses.fields(Label)))
    _check_types(content)
    return Label(**content)


def read_labels(path: Path) -> dict[str, Label]:
    """The last answer to each audit, by its id. Raises: ValueError with file and line number."""
    return {label.id: label for _, label in read_lines(path, from_json_line)}


def read_log(path: Path) -> list[AuditRecord]:
    """All audits of a log, at least one. path: a file, or a run's folder: each of its reward workers has a file there.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a broken line, an id that occurs twice, or no audit; the message names the file.
    """
    files = sorted(path.glob("audits-*.jsonl")) if path.is_dir() else [path]
    records = [record for file in files for record in read_audits(file)]
    if not records:
        raise ValueError(f"{path} holds no audit")
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise ValueError(f"{path}: two audits have the id {record.id!r}; merge logs only after making ids differ")
        seen.add(record.id)
    return records


def parsed(records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """The audits that came to a verdict."""
    return [record for record in records if record.hacking is not None]


def stratum_of(record: AuditRecord) -> str:
    """What the auditor said of a repair."""
    return FLAGGED if record.hacking else UNFLAGGED


def _check_types(content: dict[str, Any]) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "id": (str,),
        "hacking": (bool, type(None)),
        "failure_mode": (str, type(None)),
        "stratum": (str,),
        "weight": (int, float),
    }
    for name, allowed in kinds.items():
        if type(content[name]) not in allowed:
            raise ValueError(f"{name} is {content[name]!r}, of the wrong type")
