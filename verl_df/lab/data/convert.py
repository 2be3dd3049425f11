# SPDX-License-Identifier: Apache-2.0
"""Convert a source, a part at a time, so that memory stays bounded and a killed conversion goes on."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from verl_df.lab.data.checks import check_sample
from verl_df.lab.data.inputs import open_input
from verl_df.lab.data.prompts import compose
from verl_df.lab.data.reading import Input, RawRow
from verl_df.lab.data.rows import Dropped, Sample, build_row, row_schema
from verl_df.lab.data.source import Source
from verl_df.lab.data.store import Store
from verl_df.lab.data.summary import Summary

# A part ends at this size of its images as well: one row of MMMU may hold several megabytes.
PART_BYTES = 32 << 20


@dataclass(frozen=True)
class Settings:
    """What the result depends on. A conversion that goes on with other settings is refused.

    name: the rows' data_source. where: file, folder or hub name; revision: of the hub's repository, None: the newest.
    limit: rows of the source to read; None: all. prompt, instruction: see prompts.compose. min_side: pixels that an
    image must have on each side. part_rows: rows of the source in a part, which is a row group of the result.
    """

    source: str
    name: str
    where: str
    revision: str | None
    split: str
    configs: tuple[str, ...]
    limit: int | None
    prompt: str
    instruction: str
    min_side: int
    carry: tuple[str, ...]
    part_rows: int


def convert(settings: Settings, source: Source, out: Path) -> Summary:
    """Convert a source, or go on where an earlier run stopped, or say that it is done.

    Args:
        settings: what the result depends on.
        source: the source, with the settings' `carry` as extra keys.
        out: folder of the result.

    Raises:
        FileNotFoundError, ValueError: nothing to read, rows of another source, other settings, or no row kept.
    """
    if settings.prompt == "published" and not source.benchmark:
        raise ValueError(f"--prompt published: {source.name} is training data without a published prompt; use boxed")
    store = Store(out, f"{settings.name}_{settings.split}")
    there = store.settings() or {}
    # what was begun goes on at its commit, whatever the revision means by now
    revision = (there.get("revision") == settings.revision and there.get("commit")) or settings.revision
    rows = open_input(settings.where, source, settings.split, settings.configs, revision)
    lists = {"configs": list(settings.configs), "carry": list(settings.carry), "state": rows.state}
    kept = {**asdict(settings), **lists, "commit": rows.commit}
    store.keep_settings(kept)
    done = store.read_summary()
    if done is not None:
        store.remove_parts()
        print(f"{store.parquet} is there already, whole", file=sys.stderr)
        return done
    _write_parts(settings, source, rows, store)
    return store.finish(row_schema(source.extra), kept)


def _write_parts(settings: Settings, source: Source, rows: Input, store: Store) -> None:
    known = list(store.records())
    start, total = sum(record["rows"] for record in known), sum(record["kept"] for record in known)
    if start:
        print(f"{store.parquet.stem}: going on after {start} rows", file=sys.stderr)
    raws = islice(rows.rows(start), None if settings.limit is None else settings.limit - start)
    number = len(known)
    while part := _convert_part(settings, source, rows, raws, start):
        table = pa.Table.from_pylist(part.rows, schema=row_schema(source.extra))
        store.write_part(number, table, part.dropped, part.read)
        start, total, number = start + part.read, total + table.num_rows, number + 1
        print(f"{store.parquet.stem}: {start} rows read, {total} kept", file=sys.stderr)


@dataclass(frozen=True)
class _Part:
    rows: list[dict[str, object]]
    dropped: list[dict[str, str]]
    read: int

    def __bool__(self) -> bool:
        return self.read > 0


def _convert_part(settings: Settings, source: Source, rows: Input, raws: Iterator[RawRow], start: int) -> _Part:
    kept: list[dict[str, object]] = []
    dropped: list[dict[str, str]] = []
    read = size = 0
    for raw in islice(raws, settings.part_rows):
        index, read = start + read, read + 1
        _check_columns(raw, source)
        name = _identity(raw, source) or f"{settings.split}_{index}"
        try:
            sample = _sample(raw, source, rows)
            prompt = compose(sample, settings.prompt, settings.instruction)
            check_sample(sample, prompt, settings.min_side)
        except Dropped as drop:
            dropped.append({"id": name, "where": raw.where, "reason": str(drop.reason), "detail": drop.detail})
            continue
        facts = {"data_source": settings.name, "ability": source.ability, "split": settings.split}
        kept.append(build_row(sample, prompt, name=name, index=index, **facts))
        size += sum(map(len, sample.images))
        if size >= PART_BYTES:
            break
    return _Part(kept, dropped, read)


def _sample(raw: RawRow, source: Source, rows: Input) -> Sample:
    try:
        return source.sample(raw.row, rows.files)
    except ValueError as error:
        raise ValueError(f"{raw.where}: {error}") from error


def _identity(raw: RawRow, source: Source) -> str:
    value = raw.row.get(source.key)
    return "" if value is None else str(value)


def _check_columns(raw: RawRow, source: Source) -> None:
    missing = [name for name in source.needs if name not in raw.row]
    if missing:
        raise ValueError(f"{raw.where}: no {missing[0]!r} (it has {', '.join(raw.row)}): is this {source.name}?")
