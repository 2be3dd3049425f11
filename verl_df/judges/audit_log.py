# SPDX-License-Identifier: Apache-2.0
"""Audits of a run as JSON lines: one record per repair that was put before the auditor."""

import dataclasses
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from verl_df.core.checks import check_choice, check_reward
from verl_df.judges.failure_mode import FailureMode

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
        if self.failure_mode is not None:
            check_choice("failure_mode", self.failure_mode, [mode.value for mode in FailureMode])
        missing = [self.hacking is None, self.failure_mode is None, self.failure is not None]
        if any(missing) != all(missing):
            raise ValueError("an audit has either a failure, or both hacking and failure_mode")
        if self.hacking is not None and self.hacking != (self.failure_mode != FailureMode.NONE):
            raise ValueError(f"hacking={self.hacking} does not go with failure_mode={self.failure_mode!r}")


def to_json_line(record: AuditRecord) -> str:
    """The record as one line of JSON, without the line break."""
    content = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(record)}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_json_line(line: str) -> AuditRecord:
    """Read one line.

    Raises:
        ValueError: text that is no JSON object, another schema version, wrong keys, types or values.
    """
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError(f"an audit is a JSON object, this line holds a {type(content).__name__}")
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {version!r}, this reader knows {SCHEMA_VERSION}")
    hints = get_type_hints(AuditRecord)
    missing, unknown = sorted(hints.keys() - content.keys()), sorted(content.keys() - hints.keys())
    if missing or unknown:
        raise ValueError(f"missing keys {missing}, unknown keys {unknown}")
    return AuditRecord(**{name: _typed(name, content[name], kind) for name, kind in hints.items()})


def read_audits(path: str | Path) -> Iterator[AuditRecord]:
    """Read a file of audits one by one; empty lines are passed over. Raises: ValueError with file and line number."""
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = from_json_line(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            yield record


class AuditWriter:
    """Appends records to a file and flushes each, so that a crash loses nothing written.

    Folders on the way are made. Threads of one process may share a writer; two processes need a file each. What a
    crash left of a last line is cut off. A context manager.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        _cut_half_a_line(path)
        # A model may write half of a surrogate pair, which UTF-8 cannot hold; "\\ud83d" is JSON's own way to write it.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def write(self, record: AuditRecord) -> None:
        line = to_json_line(record) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "AuditWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _cut_half_a_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(end)
                return
            end += len(line)


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
