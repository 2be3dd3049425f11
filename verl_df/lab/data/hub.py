# SPDX-License-Identifier: Apache-2.0
"""Rows of a data set of the Hugging Face hub, always of one commit."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

from verl_df.lab.data.images import Files
from verl_df.lab.data.reading import FileInput, RawRow

_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubInput:
    """A data set of the Hugging Face hub, streamed; its images come undecoded.

    Going on at a row reads the rows before it again.
    """

    def __init__(self, name: str, configs: Sequence[str], split: str, commit: str) -> None:
        self.files = Files(Path())
        self.state: list[str] = []
        self.commit = commit
        self._name, self._configs, self._split = name, configs or (None,), split

    def rows(self, start: int) -> Iterator[RawRow]:
        """See Input. Raises: ValueError or OSError from the hub."""
        return islice(self._all(), start, None)

    def _all(self) -> Iterator[RawRow]:
        from datasets import load_dataset  # seconds of imports

        for config in self._configs:
            rows = load_dataset(self._name, config, split=self._split, revision=self.commit, streaming=True)
            for number, row in enumerate(rows.decode(False)):
                yield RawRow(f"{self._name}{f' {config}' if config else ''}, row {number}", row)


class DownloadInput:
    """A table and its archive from the hub, downloaded into the hub's cache with the first row."""

    def __init__(self, name: str, wanted: Sequence[str], commit: str) -> None:
        self.state: list[str] = []
        self.commit = commit
        self._name, self._wanted = name, wanted

    @property
    def files(self) -> Files:
        return self._local.files

    def rows(self, start: int) -> Iterator[RawRow]:
        """See Input. Raises: ValueError or OSError from the hub."""
        return self._local.rows(start)

    @cached_property
    def _local(self) -> FileInput:
        from huggingface_hub import hf_hub_download

        paths = [
            Path(hf_hub_download(self._name, file, repo_type="dataset", revision=self.commit)) for file in self._wanted
        ]
        return FileInput([path for path in paths if path.suffix == ".parquet"], paths[0].parent)


def commit_of(name: str, revision: str | None) -> str:
    """The commit that a revision means now; the hub is not asked about a commit."""
    if revision and _COMMIT.fullmatch(revision):
        return revision
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return HfApi().dataset_info(name, revision=revision).sha
    except (HTTPError, HfHubHTTPError, OSError) as error:
        told = str(error).partition("\n")[0]
        raise ValueError(f"{name}: no such file or folder here, and the hub does not give it: {told}") from error
