# SPDX-License-Identifier: Apache-2.0
"""Difference Feedback for verl. The method's names below are imported when they are first used: a bare Python, without
NumPy, can run `verl_df.platform.watch` and show the command line's help.
"""

import importlib

from verl_df import moved

__version__ = "0.1.0"

_METHOD = {"align": "alignment", "edit_distance": "alignment", "GateConfig": "gates", "build_gate": "gates"}

moved.install()


def __getattr__(name: str) -> object:
    if name not in _METHOD:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"verl_df.method.{_METHOD[name]}"), name)
