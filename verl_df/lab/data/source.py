# SPDX-License-Identifier: Apache-2.0
"""What a source is: the one hook that each module of a source fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from verl_df.lab.data.fields import Row
from verl_df.lab.data.images import Files
from verl_df.lab.data.rows import Sample

TEXT = pa.string()
WHOLE = pa.int64()
TEXTS = pa.list_(pa.string())


@dataclass(frozen=True)
class Source:
    """A data set that can be converted.

    name: the row's data_source, and the source's name on the command line. sample: makes a Sample of one row, or raises
    Dropped. hub: its name on the Hugging Face hub; "": none. split: the one that is meant without --split. configs:
    those that are meant without --config; (): it has one only. downloads: files of the hub's repository, where they are
    not rows that can be streamed. ability: verl's column. benchmark: it has a published prompt, which is then the
    default. key: the column of a row's id, if there is one. needs: columns without which the rows are not this
    source's. extra: further keys of extra_info.
    """

    name: str
    sample: Callable[[Row, Files], Sample]
    hub: str = ""
    split: str = "train"
    configs: tuple[str, ...] = ()
    downloads: tuple[str, ...] = ()
    ability: str = "math"
    benchmark: bool = False
    key: str = "id"
    needs: tuple[str, ...] = ()
    extra: Mapping[str, pa.DataType] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The default of --prompt."""
        return "published" if self.benchmark else "boxed"
