# SPDX-License-Identifier: Apache-2.0
"""The list of verl's names that are not meant for others."""

import json
import re
from importlib.metadata import version
from pathlib import Path

from tests import ROOT
from verl_df.platform import upstream

RECORDED = json.loads(Path(__file__).with_name("upstream_digests.json").read_text())


def test_what_we_override_is_as_we_read_it() -> None:
    """After an upgrade: look at each name that is listed, then write the new digests (CONTRIBUTING.md)."""
    lines = upstream.changed(RECORDED)
    assert not lines, "\n".join([f"verl {version('verl')} differs from {upstream.READ_IN}:", *lines])
    assert RECORDED.keys() == upstream.NAMES.keys() and version("verl") == upstream.READ_IN


def test_what_is_gone_or_changed_is_told_with_its_use() -> None:
    names = {"verl.workers.utils.losses:ppo_loss": "ours", "verl.workers.utils.losses:no_loss": "x", "verl.none:f": "y"}
    before, upstream.NAMES = upstream.NAMES, names
    try:
        lines = upstream.changed({"verl.workers.utils.losses:ppo_loss": "another"})
    finally:
        upstream.NAMES = before
    assert lines[0] == "verl.workers.utils.losses:ppo_loss: changed; used for: ours"
    assert [": gone (" in line for line in lines] == [False, True, True]


def test_the_data_plane_is_called_in_one_file() -> None:
    imports = re.compile(r"^\s*(?:from|import) transfer_queue\b", re.MULTILINE)
    found = [path for path in (ROOT / "verl_df").rglob("*.py") if imports.search(path.read_text())]
    assert found == [ROOT / "verl_df/adapters/data_plane.py"]


def test_every_method_of_verls_trainer_that_we_override_is_listed() -> None:
    """And every function that we replace."""
    sources = {path: path.read_text() for path in (ROOT / "verl_df").rglob("*.py")}
    trainer = next(text for path, text in sources.items() if path.match("policy_training/trainer.py"))
    called = set(re.findall(r"super\(\)\.(_\w+)\(", trainer)) - {"__init__"}
    assert called <= {name.rpartition(".")[2] for name in upstream.NAMES}
    replaced = {
        name
        for path, text in sources.items()
        if path.name != "verl_cpu.py"  # the CPU platform's own patches have tests that run them
        for name in re.findall(r'replace_everywhere\(\w+, "(\w+)"', text)
    }
    assert replaced <= {name.rpartition(":")[2] for name in upstream.NAMES} and replaced
