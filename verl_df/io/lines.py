# SPDX-License-Identifier: Apache-2.0
"""One codec for all records that are kept as JSON lines."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from verl_df.io.files import whole_file
from verl_df.io.json_lines import compact_line, read_lines, versioned_object
from verl_df.io.validation import findings

T = TypeVar("T")


class Lines(Generic[T]):
    """Records of one type, a JSON object with its `schema_version` a line.

    Example:
        >>> PAIRS = Lines(PairRecord, version=1)
        >>> for record in PAIRS.read(path): ...
    """

    def __init__(self, kind: type[T], version: int, what: str = "a record") -> None:
        """kind: a pydantic dataclass with `config=STRICT`. version: of the schema. what: its name in messages."""
        self._type, self._version, self._what = TypeAdapter(kind), version, what

    def dump(self, record: T) -> str:
        """The record as one line, without the line break. Raises: ValueError for NaN and infinity."""
        return compact_line(self._version, self._type.dump_python(record, mode="json"))

    def load(self, line: str) -> T:
        """Read one line.

        Raises:
            ValueError: no JSON object, another schema version, missing or unknown keys, a value of another type.
        """
        content = versioned_object(line, self._version, self._what)
        try:
            return self._type.validate_json(json.dumps(content))
        except ValidationError as error:
            raise ValueError("; ".join(findings(error))) from error

    def read(self, path: str | Path) -> Iterator[T]:
        """The records of a file one by one. Raises: ValueError with file and line number."""
        for _, record in read_lines(Path(path), self.load):
            yield record

    def write(self, path: Path, records: Iterable[T]) -> None:
        """Write a file of records, whole or not at all."""
        with whole_file(path) as file:
            file.writelines(self.dump(record) + "\n" for record in records)
