# SPDX-License-Identifier: Apache-2.0
"""`verl-df audit-weights` as a command, with vLLM's offline engine: a policy, then a repair model."""

import json
from pathlib import Path

from tests.e2e.test_repair_data import ENGINE, tool


def test_an_audit_of_the_toys_policy(world: Path, tmp_path: Path) -> None:
    models = ["--policy", world / "policy", "--repair-model", world / "repair"]
    page = tool("audit-weights", *models, "--out", tmp_path, "--prompts", "6", "--per-prompt", "6", *ENGINE)
    lines = {line["source"]: line for line in map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())}
    assert (tmp_path / "audit.md").read_text() in page
    assert lines["df"]["auc"]["estimate"] > 0.9 > lines["random"]["auc"]["estimate"]
    assert lines["df"]["seconds"] > 0
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["repaired"] > 0.5 and settings["responses"] == 36
