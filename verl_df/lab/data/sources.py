# SPDX-License-Identifier: Apache-2.0
"""The table of sources."""

from verl_df.lab.data import ai2d, geometry3k, mathverse, mathvision, mathvista, mmmu, mmpr_tiny, mmstar
from verl_df.lab.data.source import Source

OWN = "jsonl"
SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (mmpr_tiny, geometry3k, mathvista, mmstar, mmmu, mathverse, mathvision, ai2d)
}


def table() -> str:
    """The sources as a Markdown table."""
    lines = ["| source | hub name | default split | prompt | ability |", "| --- | --- | --- | --- | --- |"]
    for source in SOURCES.values():
        lines.append(
            f"| `{source.name}` | `{source.hub}` | `{source.split}` | {source.prompt} | {source.ability} |",
        )
    return "\n".join([*lines, f"| `{OWN}` | your own file | `train` | boxed | vqa |"])
