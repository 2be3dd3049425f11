# SPDX-License-Identifier: Apache-2.0
"""Arms that get another arm's device time, through the command, with a launch script that trains nothing."""

import json
from pathlib import Path

import pytest
import yaml

from verl_df.cli import main
from verl_df.lab.study.results import RESULTS
from verl_df.lab.study.settings import read_study, runs_of

# Step by step as verl: 7 device-seconds each and 3 more for a repair, until the steps or the budget are spent.
SCRIPT = """
set -eu
budget=$(printf '%s\\n' "$@" | sed -n 's/^df.budget.device_seconds=//p')
echo "$OUT $budget" >>"$LOG"
[[ -z "${BROKEN:-}" ]] || exit 3
for last in "$@"; do :; done
folder=${last#trainer.validation_data_dir=}
mkdir -p "$folder"
cost=7
[[ -z "${REPAIR:-}" ]] || cost=10
[[ -n "${STOCK:-}" ]] || : >"$OUT/ledger.jsonl"
spent=0
for ((step = 1; step <= STEPS; step++)); do
    spent=$((spent + cost))
    parts="{\\"update\\": $cost}"
    row="{\\"schema_version\\": 1, \\"step\\": $step, \\"devices\\": 1, \\"repair_devices\\": 0"
    [[ -n "${STOCK:-}" ]] || echo "$row, \\"seconds\\": $parts, \\"device_seconds\\": $parts}" >>"$OUT/ledger.jsonl"
    [[ -z "$budget" || $spent -lt ${budget%.*} ]] || break
done
((step <= STEPS)) || step=$STEPS
for at in 0 $step; do echo "{\\"problem\\": \\"p\\", \\"acc\\": $((at > 3))}" >"$folder/$at.jsonl"; done
echo '{"step": 1, "data": {"timing_s/step": 2.0}}' >"$OUT/metrics.jsonl"
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.sh").write_text(SCRIPT)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    row = {"schema_version": 1, "step": 1, "devices": 2, "repair_devices": 0}
    (tmp_path / "repair.jsonl").write_text(
        json.dumps(row | {"seconds": {"update": 2.0}, "device_seconds": {"update": 4.0}}) + "\n"
    )
    content = {
        "title": "A study",
        "script": str(tmp_path / "train.sh"),
        "reference": "df",
        "seeds": [1, 2],
        "env": {"STEPS": "3"},
        "arms": {
            "base": {
                "title": "Base, equal time",
                "env": {"STEPS": "9"},
                "budget": {"like": "df", "plus": [str(tmp_path / "repair.jsonl"), 5]},
            },
            "df": {"title": "DF", "env": {"REPAIR": "1"}},
        },
    }
    return write(tmp_path / "study.yaml", content)


def write(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def changed(study: Path, arm: str, **keys: object) -> None:
    content = yaml.safe_load(study.read_text())
    content["arms"][arm] |= keys
    write(study, content)


def run(study: Path, *options: str, command: str = "run") -> int:
    return main(["study", command, str(study), "--out", str(study.parent / "out"), *options])


def started(study: Path) -> list[str]:
    lines = (study.parent / "log").read_text().splitlines() if (study.parent / "log").exists() else []
    return [line.removeprefix(f"{study.parent}/out/toy/").strip() for line in lines]


def test_a_run_gets_the_time_of_its_seeds_run_and_of_what_it_is_given_beside(study: Path) -> None:
    assert [one.name for one in runs_of(read_study(study))] == ["toy/df.1", "toy/base.1", "toy/df.2", "toy/base.2"]
    assert run(study) == 0
    assert started(study) == ["df.1", "base.1 39.0", "df.2", "base.2 39.0"]
    results = {one.name: one for one in RESULTS.read(study.parent / "out/results.jsonl")}
    base = results["toy/base.1"]
    assert base.granted == (30.0, 4.0, 5.0) and base.device_seconds == 42.0 and base.steps == [0, 6]
    assert results["toy/df.1"].device_seconds == 30.0 and results["toy/df.1"].granted == ()
    page = (study.parent / "out/study.md").read_text()
    assert "| Base, equal time | 100.0 (100.0, 100.0) |" in page and "| 2 | 6 | 42 | 2.0 |" in page
    assert "| DF | 0.0 (0.0, 0.0) |" in page and "| 2 | 3 | 30 | 2.0 |" in page
    assert "Base, equal time: each run got the device-seconds of\nits seed's run of DF and 9 for the training" in page
    assert run(study) == 0 and len(started(study)) == 4


def test_the_budget_comes_from_results_that_are_kept(study: Path) -> None:
    kept = ("--results", str(study.parent / "kept.jsonl"))
    assert run(study, "--arm", "df", "--seed", "1", *kept) == 0
    (study.parent / "out/toy/df.1/ledger.jsonl").unlink()
    (study.parent / "out/toy/df.1/result.jsonl").unlink()
    assert run(study, "--arm", "base", "--seed", "1", *kept) == 0
    assert started(study) == ["df.1", "base.1 39.0"]
    assert [one.granted for one in RESULTS.read(study.parent / "kept.jsonl")] == [(30.0, 4.0, 5.0), ()]


def test_without_the_other_run_nothing_is_trained(study: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(study, "--arm", "base") == 1
    assert "error: toy/base.1: it gets the device time of toy/df.1, which has no result yet" in capsys.readouterr().err
    assert started(study) == []


def test_where_the_other_run_fails_the_run_is_left_for_later(study: Path, capsys: pytest.CaptureFixture) -> None:
    changed(study, "df", env={"BROKEN": "1"})
    assert run(study, "--seed", "1") == 1
    said = capsys.readouterr().err
    assert "study: toy/base.1: it gets the device time of toy/df.1, which has no result yet" in said
    assert "2 runs failed: toy/df.1, toy/base.1" in said and started(study) == ["df.1"]


def test_stock_verl_has_no_time_to_give_nor_to_take(study: Path, capsys: pytest.CaptureFixture) -> None:
    changed(study, "df", env={"STOCK": "1"})
    assert run(study, "--seed", "1") == 1
    said = capsys.readouterr().err
    assert "study: toy/base.1: it gets the device time of toy/df.1, whose result has none: stock verl writes no" in said
    assert "1 runs failed: toy/base.1" in said
    changed(study, "df", env={"REPAIR": "1"})
    changed(study, "base", env={"STOCK": "1", "STEPS": "9"})
    (study.parent / "out/toy/df.1/result.jsonl").unlink()
    assert run(study, "--seed", "1") == 1
    assert "toy/base.1: no ledger.jsonl in its OUT: stock verl knows no budget" in capsys.readouterr().err


def test_too_few_steps_for_the_budget_are_an_error(study: Path, capsys: pytest.CaptureFixture) -> None:
    changed(study, "base", env={"STEPS": "5"})
    assert run(study, "--seed", "1") == 1
    said = capsys.readouterr().err
    assert "toy/base.1: its 5 steps took 35.0 of the 39.0 device-seconds that it has: allow it more steps" in said


def test_a_ledger_that_is_not_there_is_named_before_anything_is_trained(study: Path, capsys) -> None:
    changed(study, "base", budget={"like": "df", "plus": ["nowhere/ledger.jsonl"]})
    assert run(study) == 1
    assert "error: toy/base.1: budget.plus: nowhere/ledger.jsonl: no ledger there" in capsys.readouterr().err
    assert started(study) == []


def test_results_that_got_the_time_of_a_run_that_was_trained_again_are_refused(study: Path, capsys) -> None:
    assert run(study, "--seed", "1") == 0
    (study.parent / "out/toy/df.1/result.jsonl").unlink()
    changed(study, "df", env={"REPAIR": "1", "STEPS": "4"})
    assert run(study, "--seed", "1", "--arm", "df") == 1
    assert (
        "toy/base.1 got the device time of toy/df.1 as it was, 30.0 s; toy/df.1 was trained again since and took 40.0"
        in capsys.readouterr().err
    )


def test_another_budget_in_the_file_is_another_setting(study: Path, capsys) -> None:
    assert run(study, "--seed", "1") == 0
    changed(study, "base", budget={"like": "df"})
    assert run(study, command="table") == 1
    assert "base.1: finished with other settings than the study's file has now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"budget": {"like": "fd"}}, "arms.base.budget.like=fd: no such arm; did you mean 'df'?"),
        ({"budget": {"like": "base"}}, "arms.base.budget.like=base: that arm has a budget itself"),
        ({"budget": {"like": "df", "plus": [-1]}}, "arms.base.budget.plus.0"),
        ({"overrides": ["df.budget.device_seconds=3"]}, "arms.base: df.budget.device_seconds is what `budget` sets"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(study: Path, capsys, keys: dict, said: str) -> None:
    changed(study, "base", **keys)
    assert run(study) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {study}: ") and said in error and error.count("\n") == 1
