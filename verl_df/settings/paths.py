# SPDX-License-Identifier: Apache-2.0
"""Paths of a run, the same for all of its processes.

A process of Ray looks a relative path up where Ray was started, not where the run was: on another node, or with a Ray
that was up already, that is another folder.
"""

import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

# Keys of verl's and ours that name folders, most of which a run makes; and those that name what is there already.
_FOLDER = re.compile(r"(dir|save_path)$")
_THERE = re.compile(r"(path|files?|prompt_template)$")


def make_absolute(config: DictConfig) -> None:
    """Replace the relative paths of a composed config by whole ones, as seen from this process.

    A `path` that is not there stays as it is: it is a name on the hub, or is refused elsewhere. So do `~` and whatever
    has a scheme (`pkg://`, `hdfs://`).
    """
    for name in config:
        value = None if OmegaConf.is_missing(config, name) else config[name]
        if isinstance(value, DictConfig):
            make_absolute(value)
        elif isinstance(value, ListConfig):
            for position, one in enumerate(value):
                value[position] = _whole(str(name), one)
        elif value != _whole(str(name), value):
            config[name] = _whole(str(name), value)


def _whole(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value or "://" in value or value.startswith("~"):
        return value
    return (
        str(Path(value).absolute()) if _FOLDER.search(name) or (_THERE.search(name) and Path(value).exists()) else value
    )
