# SPDX-License-Identifier: Apache-2.0
"""Rows of a data set of the Hugging Face hub, always of one commit."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from verl_df.lab.data.images import Files
from verl_df.lab.data.reading import RawRow, file_rows

_COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_rows(name: str, configs: Sequence[str], split: str, commit: str | None) -> Iterator[RawRow]:
    """All rows of a data set, streamed, config by config; their images come undecoded.

    Raises:
        ValueError, OSError: from the hub.
    """
    from datasets import load_dataset  # seconds of imports

    files = Files(None)
    for config in configs or (None,):
        rows = load_dataset(name, config, split=split, revision=commit, streaming=True)
        for number, row in enumerate(rows.decode(False)):
            yield RawRow(f"{name}{f' {config}' if config else ''}, row {number}", row, files)


def downloaded_rows(name: str, wanted: Sequence[str], commit: str, start: int) -> Iterator[RawRow]:
    """Rows of a file whose archive is another: both are downloaded into the hub's cache with the first row.

    Raises:
        ValueError, OSError: from the hub.
    """
    from huggingface_hub import hf_hub_download

    paths = [Path(hf_hub_download(name, file, repo_type="dataset", revision=commit)) for file in wanted]
    yield from file_rows([path for path in paths if path.suffix != ".zip"], paths[0].parent, start)


def commit_of(name: str, revision: str | None) -> str:
    """The commit that a revision means now; a commit is taken as it is."""
    if revision and _COMMIT.fullmatch(revision):
        return revision
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return HfApi().dataset_info(name, revision=revision).sha
    except (HTTPError, HfHubHTTPError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name}: no such file or folder here, and the hub does not give it: {reason}") from error
