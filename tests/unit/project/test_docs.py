# SPDX-License-Identifier: Apache-2.0
"""What the pages list is what there is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recipe.df.presets import PRESETS
from tests import ROOT

RECIPE = ROOT / "recipe/df"
README = (RECIPE / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", RECIPE / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def write_tables(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/docs_tables.py", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def test_what_is_generated_is_up_to_date() -> None:
    result = write_tables("--check")
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def test_what_is_out_of_date_is_named_and_written_anew(tmp_path: Path) -> None:
    for folder in ("recipe/df", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    stale = tmp_path / "recipe/df/config/df_trainer.yaml"
    stale.write_text(stale.read_text().replace("images: 20000", "images: 3"))
    result = write_tables("--check", "--root", tmp_path)
    assert result.returncode == 1
    assert result.stdout == "recipe/df/config/df_trainer.yaml: out of date, run python scripts/docs_tables.py\n"
    assert write_tables("--root", tmp_path).returncode == 0
    assert stale.read_text() == (ROOT / "recipe/df/config/df_trainer.yaml").read_text()


def test_every_preset_has_its_key_on_the_page_of_results() -> None:
    rows = [row.split(" | ") for row in (ROOT / "docs/results.md").read_text().splitlines() if row.startswith("| ")]
    listed = {row[2].strip("`"): row[1].strip("`") for row in rows if row[1].startswith("`df.")}
    assert listed == PRESETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"\b(?:examples|scripts)/[\w/]+\.sh\b", page.read_text()))
    assert not [name for name in named if not (ROOT / name).is_file()]
