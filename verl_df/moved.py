# SPDX-License-Identifier: Apache-2.0
"""Old names of modules that stand in users' commands: they go on working, with one line that names the new one."""

import functools
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_LAB = ("audit", "checkpoint", "data", "repair_data", "report", "tiny", "toy")
_EVAL = {"evaluation": "verl_df.lab.eval", "repair_eval": "verl_df.lab.eval.repairs"}
MOVED = {
    "verl_df.evaluation.score": "verl_df.judges.score",
    "verl_df.watch": "verl_df.platform.watch",
    **{f"verl_df.{name}": f"verl_df.lab.{name}" for name in _LAB},
    **{f"verl_df.{prefix}{name}": new for prefix in ("", "lab.") for name, new in _EVAL.items()},
}


class MovedFinder:
    """Answers Python's import system for the old names."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of the module under its new name; None for what never moved."""
        new = _new_name(name)
        if new is None:
            return None
        found = importlib.util.find_spec(new)
        if found is None:
            return None
        if found.submodule_search_locations is None:  # a package is on the way only
            _say(name.removesuffix(".__main__"), new.removesuffix(".__main__"))
        return importlib.util.spec_from_file_location(
            name, found.origin, submodule_search_locations=found.submodule_search_locations
        )


@functools.cache  # Python may ask twice
def _say(name: str, new: str) -> None:
    print(f"note: {name} is {new} now", file=sys.stderr)


def _new_name(name: str) -> str | None:
    for old, new in MOVED.items():  # the one name inside another comes first
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return None


def install() -> None:
    """Let the old names be found; first, or a moved package would answer for its modules without the line."""
    sys.meta_path.insert(0, MovedFinder())
