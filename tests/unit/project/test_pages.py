# SPDX-License-Identifier: Apache-2.0
"""What the pages show runs, and the site builds."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import hydra
import pytest
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

import verl_df
from tests import ROOT
from verl_df.cli import main
from verl_df.settings.objectives import ESTIMATORS, LOSSES, load_objectives

EXTENDING = ROOT / "docs/extending.md"
SECTIONS = EXTENDING.read_text().split("\n## ")[1:]
CONFIG = ROOT / "recipe/df/config"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_s_python_prints_what_it_shows() -> None:
    page = (ROOT / "README.md").read_text()
    (code,), (shown,) = blocks(page, "python"), blocks(page, "text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == shown


def test_the_page_on_masks_shows_what_its_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/explain.md").read_text()
    (rows,), commands, shown = (blocks(page, language) for language in ("json", "bash", "text"))
    (tmp_path / "rollouts.jsonl").write_text(rows)
    monkeypatch.chdir(tmp_path)
    for command, printed in zip(commands, shown, strict=True):
        assert main(shlex.split(command)[1:]) == 0
        assert capsys.readouterr().out == printed


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 95


def test_unknown_names_of_the_package_stay_unknown() -> None:
    with pytest.raises(AttributeError, match="no attribute 'algin'"):
        _ = verl_df.algin


def test_the_curve_is_drawn_from_the_table(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "scripts/toy_curve.py", tmp_path / "curve.svg"]
    subprocess.run(command, check=True, timeout=120)
    assert (tmp_path / "curve.svg").read_bytes() == (ROOT / "docs/toy_curve.svg").read_bytes()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_the_examples_of_the_guide_run(section: str, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    examples = blocks(section, "python")
    with mock.patch.dict(ADV_ESTIMATOR_REGISTRY):  # what an example registers goes again
        for code in examples:
            exec(code, names)
    objectives = blocks(section, "yaml")
    for text in objectives:
        (name,) = re.findall(r"config/objective/(\w+)\.yaml`:", section)
        _check_objective(name, text, tmp_path)
    assert len(examples) + len(objectives) == 1


def _check_objective(name: str, text: str, folder: Path) -> None:
    """Composed from a copy of the configuration, it sets what it says, and nothing that the config does not know."""
    shutil.copytree(CONFIG, folder / "config")
    assert not (folder / f"config/objective/{name}.yaml").exists()
    (folder / f"config/objective/{name}.yaml").write_text(text)
    with hydra.initialize_config_dir(str(folder / "config"), version_base=None):
        config = hydra.compose("df_trainer", overrides=[f"objective={name}"])
    assert OmegaConf.merge(config, OmegaConf.create(text)) == config
    objective = load_objectives(folder / "config/objective")[name]
    assert objective.mode in ESTIMATORS[objective.base_estimator] and objective.base_loss in LOSSES


def test_the_guide_lists_its_examples() -> None:
    (table,) = re.findall(r"((?:^\|.*\n)+)", EXTENDING.read_text().split("\n## ")[0], re.MULTILINE)
    anchors = re.findall(r"\[example\]\(#([\w-]+)\)", table)
    assert anchors == [section.splitlines()[0].lower().replace(" ", "-") for section in SECTIONS]
    named = {path for path in re.findall(r"`([\w/]+/[\w./]+)`", table)}
    assert named and not [path for path in named if not (ROOT / path).exists()]


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr
    api = (tmp_path / "docs/api/index.html").read_text()
    assert 'id="verl_df.method.alignment.align"' in api and "Token-level Levenshtein distance" in api
    assert (tmp_path / "CITATION.cff").is_file() and "docs/results/" in (tmp_path / "index.html").read_text()


def test_every_page_that_we_write_has_a_policy() -> None:
    pages = {path.name: path.read_text() for path in (ROOT / "verl_df").rglob("*.html")}
    whole = {name: text for name, text in pages.items() if "<html" in text}
    assert {"report.html", "form.html", "page.html"} <= whole.keys()
    for text in whole.values():
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', text)
        rules = policy.split("; ")
        assert {"default-src 'none'", "form-action 'none'", "base-uri 'none'"} <= set(rules)
        allowed = {source for rule in rules for source in rule.split()[1:]}
        assert allowed <= {"'none'", "'self'", "data:", "'unsafe-inline'", "'sha256-{script_hash}'"}
        assert not any("unsafe-inline" in rule for rule in rules if rule.startswith("script-src"))
