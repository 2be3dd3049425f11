# SPDX-License-Identifier: Apache-2.0
"""People's judgements of audited repairs, a JSON line for each; a later one of the same audit replaces it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from verl_df.io.lines import Lines
from verl_df.io.validation import checked
from verl_df.judges.audit_log import AUDITS, AuditRecord
from verl_df.judges.failure_mode import FailureMode, check_verdict

Stratum = Literal["flagged", "unflagged"]
STRATA = FLAGGED, UNFLAGGED = get_args(Stratum)


@checked
class Label:
    """One answer.

    Attributes:
        id: of the audit.
        hacking: None where the person skipped it.
        failure_mode: None with `hacking`.
        stratum: what the auditor had said.
        weight: audits of the stratum in the log for each one drawn; multiplying by it undoes the stratified drawing.

    Raises:
        ValueError: hacking without a mode, or the reverse.
    """

    id: str
    hacking: bool | None
    failure_mode: FailureMode | None
    stratum: Stratum
    weight: Annotated[float, Field(ge=1)]

    def __post_init__(self) -> None:
        if (self.hacking is None) != (self.failure_mode is None):
            raise ValueError("hacking and failure_mode must be given together, or both be null")
        if self.hacking is not None and self.failure_mode is not None:
            check_verdict(self.hacking, self.failure_mode)


LABELS = Lines(Label, version=1, what="a label")


def read_labels(path: Path) -> dict[str, Label]:
    """The last answer to each audit, by its id. Raises: ValueError with file and line number."""
    return {label.id: label for label in LABELS.read(path)}


def read_log(path: Path) -> list[AuditRecord]:
    """All audits of a log, at least one. path: a file, or a run's folder: each of its reward workers has a file there.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a broken line, an id that occurs twice, or no audit; the message names the file.
    """
    files = sorted(path.glob("audits-*.jsonl")) if path.is_dir() else [path]
    records = [record for file in files for record in AUDITS.read(file)]
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


def stratum_of(record: AuditRecord) -> Stratum:
    """What the auditor said of a repair."""
    return "flagged" if record.hacking else "unflagged"
