# SPDX-License-Identifier: Apache-2.0
"""Replacing functions of other people's modules, and what our patches rely on in wrapt's import hooks."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from wrapt import when_imported

from verl_df.platform.patching import replace_everywhere


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an importable package with `origin.answer`, which `user` imports by name."""
    name = "verl_df_patching_sample"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "origin.py").write_text("def answer():\n    return 1\n")
    (folder / "user.py").write_text(f"from {name}.origin import answer\n\ndef ask():\n    return answer()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[loaded]


def set_answer(value: int):
    def patch(module: ModuleType) -> None:
        module.answer = lambda: value

    return patch


def test_hooks_wait_for_the_import_and_run_in_order(package: str) -> None:
    when_imported(f"{package}.origin")(set_answer(2))
    when_imported(f"{package}.origin")(set_answer(3))
    importlib.util.find_spec(f"{package}.origin")  # libraries look for others this way: the hooks must still be there
    assert f"{package}.origin" not in sys.modules
    assert importlib.import_module(f"{package}.user").ask() == 3
    when_imported(f"{package}.origin")(set_answer(4))
    assert sys.modules[f"{package}.origin"].answer() == 4


def test_failing_hook_fails_the_import(package: str) -> None:
    def fail(module: ModuleType) -> None:
        raise AttributeError("nothing to patch")

    when_imported(f"{package}.origin")(fail)
    with pytest.raises(AttributeError, match="nothing to patch"):
        importlib.import_module(f"{package}.origin")


def test_replacement_reaches_by_name_importers_of_the_same_package_only(package: str) -> None:
    user, origin = importlib.import_module(f"{package}.user"), importlib.import_module(f"{package}.origin")
    stranger = ModuleType("stranger")
    stranger.answer = origin.answer
    sys.modules["stranger"] = stranger
    try:
        replace_everywhere(origin, "answer", lambda: 2)
        assert (origin.answer(), user.ask(), stranger.answer()) == (2, 2, 1)
    finally:
        del sys.modules["stranger"]


def test_replacing_a_name_that_is_gone_raises(package: str) -> None:
    origin = importlib.import_module(f"{package}.origin")
    with pytest.raises(AttributeError, match="has no 'question' to replace"):
        replace_everywhere(origin, "question", None)
