# SPDX-License-Identifier: Apache-2.0
"""What a launch script would start, without starting it."""

import os
import subprocess
from pathlib import Path

from tests import ROOT


def arguments(script: str, folder: Path, *extra: str, **variables: str) -> list[str]:
    """Arguments that a script, given `extra` and environment `variables`, would start Python or torchrun with.

    Raises:
        subprocess.CalledProcessError: the script refused.
    """
    shown = folder / "show"
    shown.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    shown.chmod(0o755)
    started = {"PYTHON": str(shown), "VERL_DF_WARM": "0", "TORCHRUN": str(shown), "OUT": str(folder / "out")}
    return subprocess.run(
        ["bash", str(ROOT / script), *extra],
        env={**os.environ, **started, **variables},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
