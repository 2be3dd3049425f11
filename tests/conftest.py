# SPDX-License-Identifier: Apache-2.0
"""Markers and time limits by folder, and the CPU platform for every test."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from verl_df.platform import warm
from verl_df.platform.environment import cpu_environment
from verl_df.platform.watch.parents import ending_with_this_process

E2E_FOLDER = Path(__file__).parent / "e2e"
# The first test that needs it also waits for the recorded run.
E2E_SECONDS = 2400

# Files whose tests share the main job's run: with --dist loadscope they go to one worker, as those of any one file do.
MAIN_JOB = ("test_df_grpo.py", "test_neutral.py", "test_placements.py", "test_preferred.py", "test_round_trip.py")

# A shell starts its background jobs (`nohup scripts/test.sh &`) with Ctrl-C ignored, and so would be every process that
# a test starts: those that test how a run ends on Ctrl-C would wait for good.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test imports torch or verl, which read these once. What the caller has set is kept.
for _name, _value in cpu_environment().items():
    os.environ.setdefault(_name, _value)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/e2e as `e2e`, with its own time limit; everything else is a unit test."""
    for item in items:
        if E2E_FOLDER in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(E2E_SECONDS))


class OneWorkerForEachStart(LoadScopeScheduling):
    """Tests that share a run go to one worker, and it starts once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0].rpartition("/")[2]
        return "the main job" if file in MAIN_JOB else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """That of `--dist loadscope`; None leaves the choice to xdist, whose groups by mark do nothing with pytest 9.2."""
    return OneWorkerForEachStart(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_configure(config: pytest.Config) -> None:
    """The session's own warm interpreter, shared by its workers; nothing is started before somebody asks for it."""
    if not hasattr(config, "workerinput"):
        os.environ.update(ending_with_this_process(os.environ))  # runs do not outlive a session that is killed
        os.environ["VERL_DF_WARM_DIR"] = tempfile.mkdtemp(prefix="warm", dir="/tmp")  # sockets have short paths


def pytest_unconfigure(config: pytest.Config) -> None:
    """It ends with the session."""
    if not hasattr(config, "workerinput"):
        folder = os.environ.pop("VERL_DF_WARM_DIR")
        warm.stop(Path(folder))
        shutil.rmtree(folder)
