# SPDX-License-Identifier: Apache-2.0
"""What --from names: a file, a folder of parquet files, or a data set of the hub."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from verl_df.lab.data.hub import commit_of, downloaded_rows, hub_rows
from verl_df.lab.data.reading import RawRow, file_rows

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class OnHub(Protocol):
    """What is looked at of a source. hub: its name there; downloads: files, where they are not rows to be streamed."""

    @property
    def hub(self) -> str: ...

    @property
    def downloads(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Input:
    """Where rows come from.

    Attributes:
        rows: the rows from a number on, from 0, always in one order.
        state: what tells another input of the same name apart.
        commit: of the hub's repository; "": local files.
    """

    rows: Callable[[int], Iterator[RawRow]]
    state: Sequence[str] = ()
    commit: str = ""


def open_input(where: str, source: OnHub, split: str, configs: Sequence[str], revision: str | None) -> Input:
    """What --from names: a file, a folder, or a name on the hub.

    Raises:
        FileNotFoundError: none of them.
        ValueError: a file of another kind, or the hub does not answer.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        return _file_input(files_of_split(path, split, configs), path)
    if path.is_file():
        if path.suffix not in (".parquet", ".json", ".jsonl"):
            raise ValueError(f"{path}: a source is a .parquet, .json or .jsonl file, or a folder of parquet files")
        return _file_input([path], path.parent)
    if not _HUB_NAME.fullmatch(where) or not source.hub:
        raise FileNotFoundError(f"{where}: no such file or folder")
    commit = commit_of(where, revision)
    if source.downloads:
        return Input(partial(downloaded_rows, where, source.downloads, commit), commit=commit)
    # going on at a row reads the rows before it again
    return Input(lambda start: islice(hub_rows(where, configs, split, commit), start, None), commit=commit)


def files_of_split(folder: Path, split: str, configs: Sequence[str]) -> list[Path]:
    """The parquet files of a split in a downloaded copy of a hub's repository.

    They are named after it (`data/test-00000-of-00002.parquet`, `testmini.parquet`), lie in a folder of its name
    (`test/0000.parquet`), or there is one parquet file only. Configs are subfolders where there are such.

    Raises:
        FileNotFoundError: there is none.
    """
    folders = [folder / config for config in configs if (folder / config).is_dir()]
    if folders and len(folders) < len(configs):
        missing = [config for config in configs if not (folder / config).is_dir()]
        problem = f"no folder {missing[0]!r} ({len(missing)} missing); name those that are there with --config"
        raise FileNotFoundError(f"{folder}: {problem}")
    paths = [path for place in folders or [folder] for path in sorted(place.rglob("*.parquet"))]
    chosen = [path for path in paths if _is_of_split(path, split)] or (paths if len(paths) == 1 else [])
    if not chosen:
        found = ", ".join(str(path.relative_to(folder)) for path in paths[:5]) or "no parquet file"
        raise FileNotFoundError(
            f"{folder}: no parquet file of split {split!r} (there is {found}); give another --split, or --from one file"
        )
    return chosen


def _file_input(paths: Sequence[Path], root: Path) -> Input:
    state = [f"{path.relative_to(root)}: {path.stat().st_size} bytes" for path in paths]
    return Input(partial(file_rows, paths, root), state)


def _is_of_split(path: Path, split: str) -> bool:
    return path.stem == split or path.stem.startswith(f"{split}-") or path.parent.name == split
