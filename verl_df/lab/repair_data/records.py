# SPDX-License-Identifier: Apache-2.0
"""One wrong response with its reference as a JSON line, and the lines of a file read strictly."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.json_lines import read_lines, take_version
from verl_df.method.checks import check_choice, did_you_mean
from verl_df.method.records import REFERENCE_KINDS

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class RepairSample:
    """(x, y, a), and y* once there is one.

    id: see `sample_id`. prompt_index: row of the data file, from 0. prompt: x in verl's chat form, `<image>` markers in
    the text. images: file names in the set's `images` folder, one a marker. ground_truth, extra_info: of the row, JSON
    values. response: y without special tokens; response_ids: y as sampled, end token included. reference: a;
    reference_kind: "sibling" (a correct response's text) or "answer" (the annotated answer). target: y*, None until the
    import.

    Raises: ValueError for a field of another type, or an unknown kind of reference.
    """

    id: str
    prompt_index: int
    data_source: str
    prompt: list[dict[str, Any]]
    images: list[str]
    ground_truth: Any
    extra_info: dict[str, Any]
    response: str
    response_ids: list[int]
    reference: str
    reference_kind: str
    target: str | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}, not of type {kind.__name__}")
        if self.target is not None and not isinstance(self.target, str):
            raise ValueError(f"target is {self.target!r}, not a text or null")
        check_choice("reference_kind", self.reference_kind, REFERENCE_KINDS)

    @property
    def question(self) -> str:
        """Text of the last message, `<image>` markers included."""
        return self.prompt[-1]["content"]


_KINDS: dict[str, type] = {
    "id": str,
    "prompt_index": int,
    "data_source": str,
    "prompt": list,
    "images": list,
    "extra_info": dict,
    "response": str,
    "response_ids": list,
    "reference": str,
}


def sample_id(prompt_index: int, rollout: int, response_ids: Sequence[int]) -> str:
    """A stable id, 16 hexadecimal digits, of the row's number, the rollout's number and what was sampled.

    With the tokens in it, a target that was written for another sampling run is unknown here, not taken for this one's.
    """
    text = json.dumps([prompt_index, rollout, list(response_ids)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_json_line(sample: RepairSample) -> str:
    """The sample as one line of JSON, without the line break. NaN in `extra_info` stays, as Python's `json` has it."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **dataclasses.asdict(sample)}, ensure_ascii=False)


def from_json_line(line: str) -> RepairSample:
    """Read one line. Raises: ValueError for text that is no JSON object, another schema version, or wrong keys."""
    content = json_object(line)
    take_version(content, SCHEMA_VERSION)
    names = [field.name for field in dataclasses.fields(RepairSample)]
    check_keys(content, required=names, allowed=names)
    return RepairSample(**content)


def read_samples(path: Path) -> Iterator[RepairSample]:
    """The samples of a file, one at a time. Raises: as `read_lines`."""
    for _, sample in read_lines(path, from_json_line):
        yield sample


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object. Raises: ValueError for anything else."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"a line holds one JSON object, this one a {type(content).__name__}")
    return content


def check_keys(content: Mapping[str, Any], *, required: Sequence[str], allowed: Sequence[str]) -> None:
    """Raise ValueError for a key that is missing or unknown; the message names the nearest right one."""
    missing = [name for name in required if name not in content]
    unknown = [name for name in content if name not in allowed]
    if unknown:
        hint = did_you_mean(unknown[0], allowed)
        raise ValueError(f"unknown key {unknown[0]!r}; {hint or 'known: ' + ', '.join(allowed)}")
    if missing:
        raise ValueError(f"missing key {missing[0]!r}")
