# SPDX-License-Identifier: Apache-2.0
"""Audits of a run as JSON lines: one record per repair that was put before the auditor."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from verl_df.io.json_lines import LineWriter, check_names, compact_line, read_lines, versioned_object
from verl_df.judges.failure_mode import check_verdict
from verl_df.method.checks import check_reward

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class AuditRecord:
    """One audited repair.

    id: of the audit, unique in a file. step: training step, None outside training. images: file names, empty where none
    were kept. response: y. repair: y-hat. reference: a. counterfactual: the repair made from the removed image, where
    there is one. r_task: of the repair, in [0, 1]. hacking, failure_mode: the verdict, both None where the audit
    failed. evidence: the auditor's words. failure: why there is no verdict (a name of `FailureReason`), else None.
    g_aud: 0 or 1 (Eq. 4), after the rule for failed audits.

    Raises: ValueError for an r_task outside [0, 1], another g_aud, an unknown failure mode, a verdict beside a failure,
    neither of the two, or hacking without a mode (and the reverse).
    """

    id: str
    step: int | None
    question: str
    images: tuple[str, ...]
    response: str
    repair: str
    reference: str
    counterfactual: str | None
    ground_truth: str
    r_task: float
    hacking: bool | None
    failure_mode: str | None
    evidence: str
    failure: str | None
    g_aud: int

    def __post_init__(self) -> None:
        check_reward(f"audit {self.id}", self.r_task)
        if self.g_aud not in (0, 1):
            raise ValueError(f"g_aud is {self.g_aud}: 0 or 1")
        missing = [self.hacking is None, self.failure_mode is None, self.failure is not None]
        if any(missing) != all(missing):
            raise ValueError("an audit has either a failure, or both hacking and failure_mode")
        if self.hacking is not None and self.failure_mode is not None:
            check_verdict(self.hacking, self.failure_mode)


def to_json_line(record: AuditRecord) -> str:
    """The record as one line of JSON, without the line break."""
    return compact_line(SCHEMA_VERSION, dataclasses.asdict(record))


def from_json_line(line: str) -> AuditRecord:
    """Read one line.

    Raises:
        ValueError: text that is no JSON object, another schema version, wrong keys, types or values.
    """
    content = versioned_object(line, SCHEMA_VERSION, "an audit")
    hints = get_type_hints(AuditRecord)
    check_names(content, hints)
    return AuditRecord(**{name: _typed(name, content[name], kind) for name, kind in hints.items()})


def read_audits(path: str | Path) -> Iterator[AuditRecord]:
    """Read a file of audits one by one; empty lines are passed over. Raises: ValueError with file and line number."""
    for _, record in read_lines(Path(path), from_json_line):
        yield record


class AuditWriter(LineWriter):
    """Appends records to a file."""

    def write(self, record: AuditRecord) -> None:
        self.write_line(to_json_line(record))


def _typed(name: str, value: Any, kind: Any) -> Any:
    if name == "images":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{name} must be a list of file names, not {value!r}")
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    allowed = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if type(value) not in allowed:
        names = " or ".join("null" if option is type(None) else option.__name__ for option in allowed)
        raise ValueError(f"{name} must be {names}, not {value!r}")
    return value
