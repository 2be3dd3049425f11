# SPDX-License-Identifier: Apache-2.0
"""Messages are still seen after the import of vLLM's server."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.WARNING)
from verl_df.platform import root_logger
if sys.argv[1] == "mended":
    root_logger.apply()
import model_hosting_container_standards.logging_config
logger = logging.getLogger("verl_df.adapters.policy_training.trainer")
logger.setLevel(logging.INFO)
logger.info("repair engine ready")
logger.warning("a step was skipped")
"""
BOTH = ["repair engine ready", "a step was skipped"]


@pytest.mark.parametrize(
    ("how", "variables", "seen"),
    [("stock", {}, []), ("mended", {}, BOTH), ("mended", {"LOG_LEVEL": "WARNING"}, BOTH[1:])],
)
def test_messages_after_the_import(how: str, variables: dict[str, str], seen: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("LOG_LEVEL")} | variables
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(":")[2] for line in done.stderr.splitlines() if "trainer" in line] == seen
