# SPDX-License-Identifier: Apache-2.0
"""Replace a function of somebody else's module so that the replacement really takes.

A plain `module.name = new` misses modules that did `from module import name` before. It also forces the import of
`module`: verl loads its plugins first thing in every process, where importing its trainer costs seven seconds for
nothing. So patches wait for the import of what they change, in `wrapt.when_imported`: they run in the order of
registration, at once where the module is loaded already, and an exception of theirs makes the import fail.
"""

import sys
from types import ModuleType
from typing import Any


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
