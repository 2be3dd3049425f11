# SPDX-License-Identifier: Apache-2.0
"""What the pages list is what there is."""

import re
from pathlib import Path

import pytest

from tests import ROOT
from verl_df.settings.objectives import markdown_table

RECIPE = ROOT / "recipe/df"
README = (RECIPE / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", RECIPE / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_table_of_objectives_is_up_to_date() -> None:
    """Else paste what `python -c 'import verl_df.settings.objectives as o; print(o.markdown_table())'` prints."""
    assert markdown_table() in README


def test_every_preset_is_in_the_table() -> None:
    section = README.split("## Presets")[1].split("\n## ")[0]
    listed = {name for row in section.splitlines() if row.startswith("| `") for name in _names(row.split("|")[1])}
    assert listed == {path.stem for path in (RECIPE / "config/preset").glob("*.yaml")}


def _names(cell: str) -> list[str]:
    """Names of one cell: "`a_1`, `_2`" are a_1 and a_2, "`a1` ... `a3`" are a1, a2 and a3."""
    quoted = re.findall(r"`(\w+)`", cell)
    if "..." in cell:
        first, last = quoted
        stem = first.rstrip("0123456789")
        return [f"{stem}{number}" for number in range(int(first[len(stem) :]), int(last[len(stem) :]) + 1)]
    full = [name for name in quoted if not name.startswith("_")]
    stem = full[0].rsplit("_", 2)[0]
    return full + [f"{stem}{name}" for name in quoted if name.startswith("_")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"\b(?:examples|scripts)/[\w/]+\.sh\b", page.read_text()))
    assert not [name for name in named if not (ROOT / name).is_file()]
