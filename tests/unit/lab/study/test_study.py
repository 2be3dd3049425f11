# SPDX-License-Identifier: Apache-2.0
"""A study through its command, with a launch script that trains nothing."""

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import ROOT
from verl_df.cli import main
from verl_df.io.lock import only_writer
from verl_df.lab.study.kept import keep, kept_results
from verl_df.lab.study.results import RESULTS
from verl_df.lab.study.runner import CLAIM
from verl_df.lab.study.settings import read_study, runs_of

OUTPUTS = ("study.md", "study.tex", "results.jsonl", "toy.svg", "other.svg")
# Writes what verl leaves: two validations of four problems, and the metrics. BROKEN makes it fail. KILL: the second,
# fourth and sixth start kill the study, each at another place.
SCRIPT = """
set -eu
echo "$OUT $*" >>"$LOG"
killed() { [[ -n "${KILL:-}" && $(wc -l <"$LOG") == "$1" ]] && kill -9 $PPID && exit 1 || true; }
killed 2
[[ -z "${BROKEN:-}" || ! -e "$BROKEN" ]] || exit 3
for last in "$@"; do :; done
seed=$(printf '%s\\n' "$@" | sed -n 's/^data.seed=//p')
folder=${last#trainer.validation_data_dir=}
mkdir -p "$folder"
for step in 0 5; do
    for problem in 3 1 2 0; do
        right=$(( step > 0 && (problem + seed + ${BETTER:-0}) % 4 < 2 + ${BETTER:-0} ))
        echo "{\\"problem\\": \\"p/$problem\\", \\"acc\\": $right}"
    done >"$folder/$step.jsonl"
    killed 4
done
printf '{"step": %s, "data": {"timing_s/step": %s}}\\n' 1 2.0 2 4.0 3 9.0 >"$OUT/metrics.jsonl"
killed 6
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.sh").write_text(SCRIPT)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("BROKEN", str(tmp_path / "broken"))
    content = {
        "title": "A study",
        "script": str(tmp_path / "train.sh"),
        "reference": "df",
        "seeds": [1, 2],
        "env": {"ALGO": "df_grpo"},
        "overrides": ["a=1"],
        "arms": {"base": {"env": {"ALGO": "grpo"}}, "df": {"title": "DF_100%", "env": {"BETTER": "1"}}},
        "worlds": {"toy": {}, "other": {"title": "Another world", "overrides": ["b=2"]}},
    }
    return write(tmp_path / "study.yaml", content)


def write(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def started(study: Path) -> list[str]:
    return (study.parent / "log").read_text().splitlines()


def run(study: Path, *options: str, command: str = "run") -> int:
    return main(["study", command, str(study), "--out", str(study.parent / "out"), *options])


def test_runs_come_seed_by_seed_with_overrides_from_the_general_to_the_special(study: Path) -> None:
    runs = runs_of(read_study(study))
    assert [one.name for one in runs] == [
        f"{world}/{arm}.{seed}" for seed in (1, 2) for world in ("toy", "other") for arm in ("base", "df")
    ]
    assert runs[2].overrides == ("a=1", "b=2", "data.seed=1") and runs[0].env["ALGO"] == "grpo"


def test_a_sweep_is_an_arm_for_each_value(study: Path) -> None:
    swept = {"title": "Soft", "overrides": ["c=3"], "sweep": {"x.alpha": [0.1, 1, "a/b"], "x.on": [True]}}
    write(study, yaml.safe_load(study.read_text()) | {"arms": {"df": {}, "soft": swept}, "seeds": [1]})
    read = read_study(study)
    assert {name: arm.title for name, arm in read.rows.items()} == {
        "df": "",
        "soft_0.1_true": "Soft, alpha 0.1, on true",
        "soft_1_true": "Soft, alpha 1, on true",
        "soft_a-b_true": "Soft, alpha a/b, on true",
    }
    overrides = {one.arm: one.overrides for one in runs_of(read) if one.world == "toy"}
    assert overrides["soft_a-b_true"] == ("a=1", "c=3", "x.alpha=a/b", "x.on=true", "data.seed=1")
    assert run(study) == 0 and len(started(study)) == 8
    assert "| Soft, alpha 0.1, on true | 50.0 (50.0) | +0.0 [" in (study.parent / "out/study.md").read_text()


@pytest.mark.parametrize("jobs", ["2", "5"])
def test_several_runs_at_a_time_make_the_same_tables(study: Path, jobs: str) -> None:
    assert run(study, "--jobs", jobs) == 0
    made = (study.parent / "out").rename(study.parent / "parallel")
    assert len(started(study)) == 8 and run(study) == 0
    for name in OUTPUTS:
        assert (made / name).read_bytes() == (study.parent / "out" / name).read_bytes()


def test_a_study_that_was_killed_anywhere_makes_the_same_tables(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with its run before that wrote anything, half way, and when all was written; then started again."""
    assert run(study) == 0
    whole = (study.parent / "out").rename(study.parent / "whole")
    (study.parent / "log").unlink()
    monkeypatch.setenv("KILL", "1")
    command = [sys.executable, "-m", "verl_df", "study", "run", str(study), "--out", str(study.parent / "out")]
    statuses = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(4)]
    assert statuses == [-signal.SIGKILL] * 3 + [0]
    assert len(started(study)) == 8 + 3  # the one that was stopped, once more, and no other
    for name in OUTPUTS:
        assert (whole / name).read_bytes() == (study.parent / "out" / name).read_bytes()


def test_a_study_trains_what_is_missing_and_nothing_twice(study: Path, capsys) -> None:
    assert run(study, "--seed", "1") == 0
    assert len(started(study)) == 4
    assert run(study) == 0
    assert len(started(study)) == 8
    page = (study.parent / "out/study.md").read_text()
    assert run(study, command="table") == 0
    assert len(started(study)) == 8 and (study.parent / "out/study.md").read_text() == page
    assert "| DF_100% | 75.0 (75.0, 75.0) |  |  |  | 75.0 |  |  | 2 | 4.0 |" in page
    assert "| base | 50.0 (50.0, 50.0) | -25.0 [" in page
    assert "\n## toy\n" in page and "\n## Another world\n" in page
    latex = (study.parent / "out/study.tex").read_text()
    assert r"DF\_100\%" in latex and latex.count(r"\begin{tabular}{l" + "r" * 9 + "}") == 2
    assert (study.parent / "out/other.svg").read_text().count("DF_100%") >= 1
    results = list(RESULTS.read(study.parent / "out/results.jsonl"))
    assert len(results) == 8 and results[0].right == {"0": "0000", "5": "1001"}
    assert results[0].problems == ("p/0", "p/1", "p/2", "p/3")
    assert (results[0].step_seconds, results[0].seconds) == (4.0, 15.0)


def test_a_run_that_fails_is_named_and_tried_again_and_the_others_go_on(study: Path, capsys) -> None:
    (study.parent / "broken").touch()
    assert run(study, "--arm", "df", "--world", "toy") == 1
    assert "error: 2 runs failed: toy/df.1, toy/df.2; the same command tries them again" in capsys.readouterr().err
    (study.parent / "broken").unlink()
    assert run(study, "--arm", "df", "--world", "toy") == 0
    assert len(started(study)) == 4


def test_a_run_that_another_process_is_at_is_left_to_it(study: Path) -> None:
    with only_writer(study.parent / "out/toy/df.1", CLAIM):
        assert run(study, "--world", "toy") == 0
    assert not any("df.1" in line.split()[0] for line in started(study)) and len(started(study)) == 3


def test_results_of_other_settings_are_not_mixed(study: Path, capsys) -> None:
    assert run(study, "--seed", "1") == 0
    content = yaml.safe_load(study.read_text())
    write(study, content | {"overrides": ["a=2"]})
    assert run(study) == 1
    assert "finished with other settings than the study's file has now" in capsys.readouterr().err


def test_results_outlive_the_folder_of_the_runs(study: Path, capsys) -> None:
    kept = study.parent / "kept/results.jsonl"
    assert run(study, "--seed", "1", "--results", str(kept)) == 0
    assert len(started(study)) == 4 and len(list(RESULTS.read(kept))) == 4
    shutil.rmtree(study.parent / "out")
    assert run(study, "--results", str(kept)) == 0
    assert len(started(study)) == 8 and [one.name for one in RESULTS.read(kept)] == sorted(
        one.name for one in runs_of(read_study(study))
    )
    page = (study.parent / "out/study.md").read_text()
    shutil.rmtree(study.parent / "out")
    assert run(study, "--results", str(kept), command="table") == 0
    assert len(started(study)) == 8 and (study.parent / "out/study.md").read_text() == page


def test_a_folder_of_before_joins_the_kept_results(study: Path) -> None:
    kept = study.parent / "results.jsonl"
    assert run(study) == 0 and run(study, "--results", str(kept)) == 0
    assert len(started(study)) == 8 and len(list(RESULTS.read(kept))) == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines, lines[0]], "other/base.1 is there twice"),
        (lambda lines: [lines[0].replace('"seed":1', '"seed":7')], "other/base.7 is no run of the study"),
        (lambda lines: [lines[0].replace("a=1", "a=2")], "other/base.1 was trained with other settings"),
    ],
)
def test_kept_results_that_are_not_the_studys_are_refused(study: Path, capsys, change, said: str) -> None:
    kept = study.parent / "results.jsonl"
    assert run(study, "--seed", "1", "--results", str(kept)) == 0
    kept.write_text("\n".join(change(kept.read_text().splitlines())) + "\n")
    assert run(study, "--results", str(kept)) == 1
    assert f"error: {kept}: {said}" in capsys.readouterr().err and len(started(study)) == 4


def test_processes_that_finish_at_once_lose_no_result(study: Path) -> None:
    assert run(study) == 0
    results = list(RESULTS.read(study.parent / "out/results.jsonl"))
    kept = study.parent / "results.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda result: keep(result, kept), results))
    assert len(list(RESULTS.read(kept))) == 8


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples/studies/results").glob("*.jsonl")), ids=lambda path: path.stem
)
def test_the_results_of_the_repository_are_of_its_studies(path: Path) -> None:
    study = ROOT / "examples/studies" / f"{path.stem}.yaml"
    assert kept_results(runs_of(read_study(study)), path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reference": "fd"}, "reference=fd: no such arm; did you mean 'df'?"),
        ({"seeds": []}, "seeds: give at least one, and each once"),
        ({"seeds": [1, 1]}, "seeds: give at least one, and each once"),
        ({"sedes": [1]}, "sedes"),
        ({"arms": {"df": {"override": []}}}, "override"),
        ({"arms": {"df": {"sweep": {"a": [1, 2]}}}}, "reference=df: no such arm; did you mean 'df_"),
        ({"arms": {"df": {}, "a": {"sweep": {"x": [1, "1"]}}}}, "a sweep makes an arm whose name another one has"),
        ({"arms": {"df": {}, "a": {"sweep": {"x": []}}}}, "arms.a.sweep.x: give at least one value"),
    ],
)
def test_a_wrong_file_is_one_line(study: Path, capsys, changed: dict, said: str) -> None:
    write(study, yaml.safe_load(study.read_text()) | changed)
    assert run(study) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {study}: ") and said in error and error.count("\n") == 1


def test_an_unknown_arm_and_an_empty_folder_are_errors(study: Path, capsys) -> None:
    assert run(study, "--arm", "nothing") == 1
    assert "has no such run: arms ['base', 'df']" in capsys.readouterr().err
    assert run(study, command="table") == 1
    assert "error: A study: no run is finished" in capsys.readouterr().err


def test_rows_without_a_problem_are_an_error_with_their_place(study: Path, capsys) -> None:
    script = study.parent / "train.sh"
    script.write_text(script.read_text().replace('\\"problem\\"', '\\"index\\"'))
    assert run(study) == 1
    assert "0.jsonl, line 1: the reward function must return 'acc' and 'problem', a text" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "examples/studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_of_the_repository_can_be_read(path: Path) -> None:
    runs = runs_of(read_study(path))
    assert len({one.name for one in runs}) == len(runs) > 0
    assert json.dumps([one.env for one in runs]) and (ROOT / read_study(path).script).is_file()
    assert np.unique([one.seed for one in runs]).size >= 1


def test_the_page_of_results_has_the_table_of_the_kept_runs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Without the last column, seconds of a machine that had other work."""
    examples = ROOT / "examples/studies"
    options = ["--out", str(tmp_path), "--results", str(examples / "results/controls.jsonl")]
    assert main(["study", "table", str(examples / "controls.yaml"), *options]) == 0
    rows = [line.rsplit("|", 2)[0] + "|" for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    page = (ROOT / "docs/results.md").read_text()
    assert len(rows) > 5 and [row for row in rows if row not in page] == []
