# SPDX-License-Identifier: Apache-2.0
"""Two ways to replace a function of somebody else's module so that the replacement really takes.

A plain `module.name = new` misses modules that did `from module import name` before, and forces the import of `module`:
verl loads its plugins first thing in every process, where importing its trainer costs seven seconds for nothing.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[ModuleType], None]


def replace_everywhere(module: ModuleType, name: str, new: Any) -> None:
    """Set `module.name = new`, also in the loaded modules of the same package that imported the old object by name.

    Only the same top-level package: patching verl's copy of a torch name must not reach torch itself.

    Raises:
        AttributeError: `module` has no `name`; the library was upgraded and the patch needs another look.
    """
    if name not in vars(module):
        raise AttributeError(f"{module.__name__} has no {name!r} to replace: was the library upgraded?")
    old, package = vars(module)[name], module.__name__.partition(".")[0]
    setattr(module, name, new)
    for loaded_name, loaded in list(sys.modules.items()):
        same_package = loaded_name.partition(".")[0] == package and isinstance(loaded, ModuleType)
        if same_package and vars(loaded).get(name) is old:
            setattr(loaded, name, new)


def on_import(module_name: str, patch: Patch) -> None:
    """Call `patch(module)` right after `module_name` is first imported, or now if it already is.

    An exception in `patch` makes that import fail: a half-patched library must not run. Patches of one module run in
    the order of the calls.
    """
    if module_name in sys.modules:
        patch(sys.modules[module_name])
        return
    _finder.waiting.setdefault(module_name, []).append(patch)


class _PatchingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules that wait for a patch, by the ordinary search, and patches them once they are loaded."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Patch]] = {}

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        # Taken out before the search below, which asks this finder again.
        patches = self.waiting.pop(fullname, None)
        if patches is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            self.waiting[fullname] = patches
            return None
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            for patch in patches:
                patch(module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


_finder = _PatchingFinder()
sys.meta_path.insert(0, _finder)
