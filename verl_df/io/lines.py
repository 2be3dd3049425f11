# SPDX-License-Identifier: Apache-2.0
"""One codec for all records that are kept as JSON lines."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from verl_df.io.files import whole_file
from verl_df.io.json_lines import LineWriter, read_lines, take_version
from verl_df.io.json_text import json_object
from verl_df.io.validation import described

T = TypeVar("T")


class Lines(Generic[T]):
    """Records of one type, one JSON object a line, behind its `schema_version` where the format has one.

    Example:
        >>> PAIRS = Lines(PairRecord, version=1)
        >>> for record in PAIRS.read(path): ...
    """

    def __init__(
        self,
        kind: type[T],
        version: int | None,
        what: str = "a record",
        *,
        optional: Collection[str] = (),
        ignored: Collection[str] = (),
        allow_nan: bool = False,
    ) -> None:
        """Describe the format.

        Args:
            kind: a class under `io.validation.checked`.
            version: of the schema; None: the lines have none.
            what: name of one record in messages.
            optional: keys that a line may leave out; all others must be there, whether they have a default or not.
            ignored: keys that a line may have beside those of `kind`; they are passed over.
            allow_nan: whether free values may hold NaN and infinity, in the spelling of Python's `json`.
        """
        self._kind, self._version, self._what, self._ignored = kind, version, what, ignored
        self._needed = [one.name for one in fields(kind) if one.name not in optional]  # type: ignore[arg-type]
        self._type = TypeAdapter(kind)
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=allow_nan, separators=(",", ":")).encode

    def dump(self, record: T) -> str:
        """The record as one line, without the line break. Raises: ValueError for NaN and infinity."""
        version = {} if self._version is None else {"schema_version": self._version}
        line = self._encode({**version, **self._type.dump_python(record)})
        # A model may write half of a surrogate pair, which UTF-8 cannot hold; "\ud83d" is JSON's own way to write it.
        return line.encode("utf-8", "backslashreplace").decode("utf-8")

    def load(self, line: str) -> T:
        """Read one line.

        Raises:
            ValueError: no JSON object, another schema version, missing or unknown keys, a value of another type.
        """
        content = json_object(line, self._what)
        if self._version is not None:
            take_version(content, self._version)
        try:
            record = self._type.validate_python({key: content[key] for key in content if key not in self._ignored})
        except ValidationError as error:
            raise ValueError(described(error, self._kind)) from error
        missing = [name for name in self._needed if name not in content]
        if missing:
            raise ValueError("; ".join(f"missing key {name!r}" for name in missing))
        return record

    def read(self, path: str | Path) -> Iterator[T]:
        """The records of a file one by one; empty lines are passed over. Raises: ValueError with file and line."""
        return (record for _, record in read_lines(Path(path), self.load))

    def write(self, path: Path, records: Iterable[T]) -> None:
        """Write a file of records, whole or not at all."""
        with whole_file(path) as file:
            file.writelines(self.dump(record) + "\n" for record in records)

    def writer(self, path: str | Path) -> "RecordWriter[T]":
        """Append records to a file; see `io.json_lines.LineWriter`."""
        return RecordWriter(path, self.dump)


class RecordWriter(LineWriter, Generic[T]):
    """Appends records to a file; made by `Lines.writer`."""

    def __init__(self, path: str | Path, dump: Callable[[T], str]) -> None:
        super().__init__(path)
        self._dump = dump

    def write(self, record: T) -> None:
        self.write_line(self._dump(record))
