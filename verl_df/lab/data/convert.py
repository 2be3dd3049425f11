# SPDX-License-Identifier: Apache-2.0
"""Convert a source, a part at a time, so that memory stays bounded and a killed conversion goes on.

`datasets` could map, filter and write the rows as well, but a `map` that is killed begins anew, and a `filter` gives no
reason for the rows that it drops.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from verl_df.io.lock import only_writer
from verl_df.lab.data.checks import check_sample
from verl_df.lab.data.fields import escaped, is_missing
from verl_df.lab.data.inputs import open_input
from verl_df.lab.data.prompts import compose
from verl_df.lab.data.reading import RawRow
from verl_df.lab.data.rows import build_row, row_schema
from verl_df.lab.data.source import Source
from verl_df.lab.data.store import Store
from verl_df.rows.columns import unencodable
from verl_df.rows.faults import Reason, RowError

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
    configs: list[str]
    limit: int | None
    prompt: str
    instruction: str
    min_side: int
    carry: list[str]
    preferred: str | None
    part_rows: int


def convert(settings: Settings, source: Source, out: Path) -> dict[str, Any]:
    """Convert a source, or go on where an earlier run stopped, or say that it is done.

    Args:
        settings: what the result depends on.
        source: the source, with the settings' `carry` and `preferred` as extra keys.
        out: folder of the result.

    Returns:
        the summary, see `summarise`.

    Raises:
        FileNotFoundError, ValueError: nothing to read, rows of another source, other settings, another conversion to
            the same files, or no row kept.
    """
    with only_writer(out, f"{settings.name}_{settings.split}"):
        return _convert(settings, source, out)


def _convert(settings: Settings, source: Source, out: Path) -> dict[str, Any]:
    if settings.prompt == "published" and not source.benchmark:
        raise ValueError(f"--prompt published: {source.name} is training data without a published prompt; use boxed")
    store = Store(out, f"{settings.name}_{settings.split}", row_schema(source.extra))
    there = store.settings() or {}
    # what was begun goes on at its commit, whatever the revision means by now
    revision = (there.get("revision") == settings.revision and there.get("commit")) or settings.revision
    found = open_input(settings.where, source, settings.split, settings.configs, revision)
    complete = {**asdict(settings), "state": list(found.state), "commit": found.commit}
    store.keep_settings(complete)
    done = store.summary()
    if done is not None:
        store.remove_parts()
        print(f"{store.parquet} is there already, whole", file=sys.stderr)
        return done
    start = store.rows()
    if start:
        print(f"{store.parquet.stem}: going on after {start} rows", file=sys.stderr)
    raws = islice(found.rows(start), None if settings.limit is None else settings.limit - start)
    while part := list(_part(settings, source, raws, start)):
        store.write_part(part)
        start += len(part)
        kept = sum("dropped" not in outcome for outcome in part)
        print(f"{store.parquet.stem}: {start} rows read, {kept} of the last {len(part)} kept", file=sys.stderr)
    return store.finish(complete)


def _part(settings: Settings, source: Source, raws: Iterator[RawRow], start: int) -> Iterator[dict[str, Any]]:
    """What becomes of the next rows, until a part is full; see `Store.write_part`."""
    size = 0
    for index, raw in enumerate(islice(raws, settings.part_rows), start):
        given = None if is_missing(raw.row.get(source.key)) else raw.row[source.key]
        name = f"{settings.split}_{index}" if given in (None, "") else str(given)
        try:
            row = _converted(settings, source, raw, index, name)
        except RowError as drop:
            line = {"id": name, "where": raw.where, "reason": str(drop.reason), "detail": drop.detail}
            yield {"dropped": {key: escaped(value) for key, value in line.items()}}
            continue
        yield row
        size += sum(len(image["bytes"]) for image in row["images"])
        if size >= PART_BYTES:
            return


def _converted(settings: Settings, source: Source, raw: RawRow, index: int, name: str) -> dict[str, Any]:
    missing = [column for column in source.needs if column not in raw.row]
    if missing:
        raise ValueError(f"{raw.where}: no {missing[0]!r} (it has {', '.join(raw.row)}): is this {source.name}?")
    problem = unencodable(name)
    if problem:
        raise RowError(Reason.OTHER_FORM, f"{source.key} {problem}")
    try:
        sample = source.sample(raw.row, raw.files)
    except ValueError as error:
        raise ValueError(f"{raw.where}: {error}") from error
    prompt = compose(sample, settings.prompt, settings.instruction)
    facts = {"data_source": settings.name, "ability": source.ability, "split": settings.split}
    row = build_row(sample, prompt, name=name, index=index, **facts)
    check_sample(sample, row, settings.min_side)
    return row
