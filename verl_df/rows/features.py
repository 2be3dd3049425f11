# SPDX-License-Identifier: Apache-2.0
"""What the library `datasets` noted in a parquet file of its own about the types of columns."""

import json
from typing import Any

import pyarrow as pa

from verl_df.io.json_text import parse_json


def decodes_images(schema: pa.Schema, column: str) -> bool:
    """Whether `datasets` decodes the images of a column of lists before verl sees them."""
    feature = _feature(schema, column)
    try:
        kind = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return kind["_type"] == "Image" and kind.get("decode", True)
    except (KeyError, TypeError, AttributeError, IndexError):
        return False


def holds_images(schema: pa.Schema, column: str) -> bool:
    """Whether there are images at any depth of a column, as the frames of videos are."""
    return '"_type": "Image"' in json.dumps(_feature(schema, column))


def _feature(schema: pa.Schema, column: str) -> Any:
    """The type of a column; None where the file is not of `datasets`, or what it says cannot be read."""
    try:
        return parse_json((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
