# SPDX-License-Identifier: Apache-2.0
"""A small run folder, its server, and the page's functions in a JavaScript engine."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from py_mini_racer import MiniRacer

from tests.unit.lab.inspect.runs import write_run
from verl_df.lab.inspect.facts import asset
from verl_df.lab.inspect.server import InspectServer


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def server(run_folder: Path) -> Iterator[InspectServer]:
    with InspectServer(run_folder, 0) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def js() -> Iterator[Callable[..., Any]]:
    """Call a function of the page's modules that need no browser, by name, with JSON arguments."""
    engine = MiniRacer()
    for name in ("gates.js", "alignment.js", "lens.js", "model.js", "flags.js", "update.js", "charts.js"):
        engine.eval(re.sub(r"^(import .*|export )", "", asset(name), flags=re.MULTILINE))

    def call(function: str, *arguments: Any) -> Any:
        given = ",".join(json.dumps(argument) for argument in arguments)
        return json.loads(engine.eval(f"JSON.stringify({function}({given}))"))

    yield call
    engine.close()
