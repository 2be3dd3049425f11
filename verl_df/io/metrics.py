# SPDX-License-Identifier: Apache-2.0
"""Lines of verl's file logger: {"step": int, "data": {name: number}}."""

from typing import Any

from verl_df.io.json_text import parse_json


def parse_metrics(line: str) -> tuple[int, dict[str, Any]]:
    """Step and metrics of a line. Raises: ValueError for another form, or a step that is none."""
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise ValueError(f"not JSON ({error}); delete the half line that a killed run left") from error
    if not isinstance(entry, dict) or type(entry.get("step")) is not int or not isinstance(entry.get("data"), dict):
        raise ValueError('expected {"step": int, "data": {name: number}}, as verl\'s file logger writes it')
    if not 0 <= entry["step"] < 1 << 31:
        raise ValueError(f"step {str(entry['step'])[:20]}: no number of a training step")
    return entry["step"], entry["data"]
