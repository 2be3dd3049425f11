# SPDX-License-Identifier: Apache-2.0
"""The CPU side of scripts/gpu_smoke.sh: the same checks as on a GPU, on tiny models.

Its InternVL and its two steps of Qwen3-VL are those of test_architectures.py.
"""

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.conftest import ROOT

PARTS = ("imports", "engines", "packed", "empty_rank", "gspo")


def test_the_cpu_side_passes(tmp_path: Path) -> None:
    command = ["bash", "scripts/gpu_smoke.sh", "--cpu", *PARTS]
    environment = {**os.environ, "OUT": str(tmp_path), "SECONDS_IN_ALL": "2000"}
    with (tmp_path / "log").open("w") as log:
        status = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log).returncode
    assert status == 0, (tmp_path / "log").read_text(errors="replace")[-6000:]
    parts = json.loads((tmp_path / "smoke.json").read_text())
    assert {part["part"] for part in parts} == set(PARTS)
    assert all(part["passed"] and part["checks"] and not part["gpu"] for part in parts)
