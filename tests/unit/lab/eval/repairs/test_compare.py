# SPDX-License-Identifier: Apache-2.0
"""Evaluations side by side and the sweep over lambda, by hand; their layout is in `test_recorded`. The chart."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from verl_df.cli import main
from verl_df.io.files import write_json
from verl_df.lab.eval.plots import Point, Series, point_chart
from verl_df.lab.eval.repairs.compare import difference_over_problems, difference_over_runs
from verl_df.lab.eval.repairs.figures import group_figure
from verl_df.lab.eval.repairs.finished import parse_group
from verl_df.lab.eval.repairs.records import SAMPLES, TASKS, SampleRecord, TaskRecord
from verl_df.lab.eval.repairs.settings import AGAIN, COPY
from verl_df.lab.eval.repairs.sweep import direction
from verl_df.lab.statistics import Interval, PairedDifference

END = 9


def write(folder, right, *, edits=1, methods=("repair",), first=0, greedy=False):
    """A finished evaluation with two samples a task; right: how many of them are right, one number a task."""
    names = [f"t{first + number}" for number in range(len(right))]
    tasks = [TaskRecord(name, f"p of {name}", "sibling", "?", "3", "a", "y", (1, 2, 3, END), None) for name in names]
    ids = (*(7,) * edits, *(1, 2, 3)[edits:], END)
    samples = [
        SampleRecord(name, method, decoding, "full", 0, number, ids, "text", True, False, float(is_right))
        for method in methods
        for decoding in (("sampled", "greedy") if greedy else ("sampled",))
        for name, count in zip(names, right, strict=True)
        for number in range(2)
        for is_right in [decoding == "sampled" and number < count]
    ]
    write_json(folder / "settings.json", {"threshold": 1.0})
    TASKS.write(folder / "tasks.jsonl", tasks)
    SAMPLES.write(folder / "samples.jsonl", samples)
    return folder


def test_group_of_runs_by_hand(tmp_path):
    one, two = write(tmp_path / "1", [2, 1, 0, 0], greedy=True), write(tmp_path / "2", [2, 2, 2, 0], edits=2)
    group = parse_group(f"stage={one},{two}")  # greedy samples are left out
    accuracy = group_figure(group, "acc_at_1")
    assert accuracy.runs == (0.375, 0.75) and accuracy.mean == 0.5625
    assert accuracy.over_problems.estimate == 0.5625 and accuracy.over_problems.low < 0.3
    assert (accuracy.over_runs.low, accuracy.over_runs.high) == (0.375, 0.75)
    assert group_figure(group, "edit_ratio_chosen").runs == (0.25, 0.5)
    assert group_figure(group, "mask_f1") is None
    assert group_figure(parse_group(f"stage={one}"), "acc_at_1").over_runs is None
    none = write(tmp_path / "3", [0, 0])
    assert group_figure(parse_group(f"stage={one},{none}"), "edit_ratio_chosen") is None  # one run lacks it


def test_differences_pair_tasks_and_runs(tmp_path):
    base = parse_group(f"base={write(tmp_path / '1', [0, 0, 1])},{write(tmp_path / '2', [0, 0, 1])}")
    other = parse_group(f"other={write(tmp_path / '3', [0, 1, 2])},{write(tmp_path / '4', [1, 1, 2])}")
    over_problems = difference_over_problems(other, base, "acc_at_1")
    # means of the tasks: 0, 0, 1/2 against 1/4, 1/2, 1
    assert over_problems.difference == pytest.approx(1.25 / 3) and over_problems.n == 3
    assert (over_problems.low, over_problems.high) == (0.25, 0.5)
    over_runs = difference_over_runs(other, base, "acc_at_1")
    assert over_runs.difference == pytest.approx((2 / 6 + 3 / 6) / 2) and over_runs.n == 2
    # only tasks with a feasible repair on both sides
    assert difference_over_problems(other, base, "edit_ratio_chosen").n == 1
    # another number of runs, or a single one
    single = parse_group(f"b={tmp_path / '1'}")
    assert difference_over_runs(other, single, "acc_at_1") is difference_over_runs(single, single, "acc_at_1") is None


def test_only_common_tasks_are_paired(tmp_path, capsys):
    write(tmp_path / "1", [0, 0, 0]), write(tmp_path / "2", [2, 2, 2], first=2), write(tmp_path / "3", [2], first=7)
    base, other, apart = (parse_group(f"{number}={tmp_path / str(number)}") for number in (1, 2, 3))
    assert difference_over_problems(other, base, "acc_at_1").n == 1
    assert difference_over_problems(apart, base, "acc_at_1") is None
    groups = ["--group", f"a={tmp_path / '1'}", "--group", f"c={tmp_path / '3'}"]
    assert main(["repair-eval", "compare", *groups, "--out", str(tmp_path / "out")]) == 0
    assert "No task is in both groups" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "groups", "message"),
    [
        ("compare", ["folder"], "write NAME=DIR1,DIR2"),
        ("compare", ["a={two}"], "holds 2 repair models"),
        ("compare", ["a={two}#repaid"], "did you mean 'repair'?"),
        ("compare", ["a={baselines}"], "holds 0 repair models"),
        ("compare", ["a=/no/such/folder"], "holds no settings.json"),
        ("compare", ["a={one}", "a={one}"], "same name"),
        ("lambda", ["0.5={one}"], "at least two"),
        ("lambda", ["0.5={one}", "0.5={one}"], "at least two"),
        ("lambda", ["x={one}"], "write LAMBDA=DIR"),
    ],
)
def test_groups_that_cannot_be_used(tmp_path, capsys, command, groups, message):
    folders = {
        "one": write(tmp_path / "one", [1]),
        "two": write(tmp_path / "two", [1], methods=("repair", "other")),
        "baselines": write(tmp_path / "baselines", [1], methods=(AGAIN, COPY)),
    }
    option = "--group" if command == "compare" else "--point"
    argv = [part for group in groups for part in (option, group.format(**folders))]
    assert main(["repair-eval", command, *argv, "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


# ---- lambda ---------------------------------------------------------------------------------------------------------


def ends(low, high):
    return PairedDifference((low + high) / 2, low, high, 0.01, 10)


@pytest.mark.parametrize(
    ("correlation", "difference", "sentence"),
    [
        (-0.9, ends(-0.2, -0.1), "Acc@1 falls"),
        (0.9, ends(-0.2, -0.1), "no clear direction"),
        (-0.9, ends(-0.2, 0.1), "no clear direction"),
        (0.9, ends(0.1, 0.2), "Acc@1 rises"),
        (-0.9, None, "cannot be paired"),
    ],
)
def test_direction(correlation, difference, sentence):
    assert sentence in direction([0.2, 0.8], correlation, difference)


def test_constant_accuracy_has_no_direction(tmp_path, capsys, drawn):
    options = [option for value in (0, 1) for option in ("--point", f"{value}={write(tmp_path / str(value), [1, 2])}")]
    assert main(["repair-eval", "lambda", *options, "--out", str(tmp_path / "out")]) == 0
    assert "no clear direction" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/lambda.json").read_text())["rank_correlation"] is None
    assert [len(line.get_xdata()) for line in drawn[0].lines] == [2, 2, 2]
    assert (tmp_path / "out/lambda.svg").read_text().endswith("</svg>\n")


# ---- plot -----------------------------------------------------------------------------------------------------------


def test_chart_has_the_points_and_their_intervals(drawn):
    points = [
        Point(Interval(0.2, 0.1, 0.3), Interval(0.5, 0.4, 0.7)),
        Point(Interval(0.4, 0.4, 0.4), Interval(1, 1, 1)),
    ]
    series = [Series('a <&> "b"', points[:1]), Series("c", points, joined=True), Series("none", [])]
    ElementTree.fromstring(point_chart(series, x_label="x < 1", y_label="y"))
    (axes,) = drawn
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0.2, 0.5]], [[0.2, 0.5], [0.4, 1]], []]
    assert [line.get_linestyle() for line in axes.lines] == ["None", "-", "None"]
    across, along = (lines.get_segments()[0].tolist() for lines in axes.collections[:2])
    assert across == [[0.1, 0.5], [0.3, 0.5]] and along == [[0.2, 0.4], [0.2, 0.7]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x < 1", "y")


def test_a_chart_needs_a_point():
    with pytest.raises(ValueError, match="no point"):
        point_chart([Series("a", [])], x_label="x", y_label="y")
