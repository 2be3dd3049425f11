# SPDX-License-Identifier: Apache-2.0
"""Evaluations side by side, the sweep over lambda, and the plot."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from verl_df.lab.repair_eval.__main__ import main
from verl_df.lab.repair_eval.compare import (
    difference_over_problems,
    difference_over_runs,
    group_figure,
    parse_group,
)
from verl_df.lab.repair_eval.folder import FolderWriter
from verl_df.lab.repair_eval.plot import Point, Series, chart
from verl_df.lab.repair_eval.records import SampleRecord, TaskRecord
from verl_df.lab.repair_eval.sampling import AGAIN, COPY
from verl_df.lab.repair_eval.sweep import direction
from verl_df.lab.statistics import Interval, PairedDifference

END = 9


def write(folder, right, *, edits=1, methods=("repair",), first=0, greedy=False):
    """A finished evaluation with two samples a task; right: how many of them are right, one number a task."""
    names = [f"t{first + number}" for number in range(len(right))]
    tasks = [TaskRecord(name, f"p of {name}", "sibling", "?", "3", "a", "y", (1, 2, 3, END), None) for name in names]
    with FolderWriter(folder, {"threshold": 1.0}, tasks) as writer:
        for method in methods:
            for decoding in ("sampled", "greedy") if greedy else ("sampled",):
                for name, count in zip(names, right, strict=True):
                    for number in range(2):
                        ids = (*(7,) * edits, *(1, 2, 3)[edits:], END)
                        is_right = float(number < count) if decoding == "sampled" else 0.0
                        record = (name, method, decoding, "full", 0, number, ids, "text", True, False, is_right)
                        writer.write(SampleRecord(*record))
    return folder


def test_group_of_runs_by_hand(tmp_path):
    one, two = write(tmp_path / "1", [2, 1, 0, 0]), write(tmp_path / "2", [2, 2, 2, 0], edits=2)
    group = parse_group(f"stage={one},{two}")
    accuracy = group_figure(group, "acc_at_1")
    assert accuracy.runs == (0.375, 0.75) and accuracy.mean == 0.5625
    assert accuracy.over_problems.estimate == 0.5625 and accuracy.over_problems.low < 0.3
    assert (accuracy.over_runs.low, accuracy.over_runs.high) == (0.375, 0.75)
    assert group_figure(group, "edit_ratio_chosen").runs == (0.25, 0.5)
    assert group_figure(group, "mask_f1") is None
    assert group_figure(parse_group(f"stage={one}"), "acc_at_1").over_runs is None


def test_figure_that_one_run_lacks_is_left_out(tmp_path):
    one, none = write(tmp_path / "1", [1, 0]), write(tmp_path / "2", [0, 0])
    assert group_figure(parse_group(f"stage={one},{none}"), "edit_ratio_chosen") is None


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


def test_only_common_tasks_are_paired(tmp_path, capsys):
    base, other = write(tmp_path / "1", [0, 0, 0]), write(tmp_path / "2", [2, 2, 2], first=2)
    apart = write(tmp_path / "3", [2], first=7)
    base, other, apart = (
        parse_group(f"{name}={folder}") for name, folder in zip("abc", (base, other, apart), strict=True)
    )
    assert difference_over_problems(other, base, "acc_at_1").n == 1
    assert difference_over_problems(apart, base, "acc_at_1") is None
    argv = [
        "compare",
        "--group",
        f"a={tmp_path / '1'}",
        "--group",
        f"c={tmp_path / '3'}",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(argv) == 0
    assert "No task is in both groups" in capsys.readouterr().out


def test_other_number_of_runs_is_not_paired(tmp_path):
    folders = [write(tmp_path / str(number), [number, 1]) for number in range(3)]
    two, one = parse_group(f"a={folders[0]},{folders[1]}"), parse_group(f"b={folders[2]}")
    assert difference_over_runs(two, one, "acc_at_1") is None
    assert difference_over_runs(one, one, "acc_at_1") is None


def test_compare_command(tmp_path, capsys):
    one, two = write(tmp_path / "1", [0, 1, 0, 1], methods=("a", "b")), write(tmp_path / "2", [1, 2, 1, 2])
    argv = ["compare", "--group", f"first={one}#a", "--group", f"second={two}", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    page = capsys.readouterr().out
    assert "| first | Acc@1 | 25.0% |" in page and "## second − first" in page
    assert "| Acc@1 | 4 | 50.0% [50.0, 50.0], p = 0.0002 | – |" in page
    assert (tmp_path / "out/compare.md").read_text().strip() == page.strip()
    written = json.loads((tmp_path / "out/compare.json").read_text())
    assert written["figures"]["second"]["acc_at_1"]["mean"] == 0.75
    assert written["differences"]["second"]["acc_at_1"]["over_problems"]["n"] == 4


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("folder", "write NAME=DIR1,DIR2"),
        ("=1", "write NAME=DIR1,DIR2"),
        ("a={two}", "holds 2 repair models"),
        ("a={two}#repaid", "did you mean 'repair'?"),
        ("a={baselines}", "holds 0 repair models"),
        ("a=/no/such/folder", "holds no settings.json"),
    ],
)
def test_group_that_cannot_be_read(tmp_path, capsys, group, message):
    two = write(tmp_path / "two", [1], methods=("repair", "other"))
    baselines = write(tmp_path / "baselines", [1], methods=(AGAIN, COPY))
    argv = ["compare", "--group", group.format(two=two, baselines=baselines), "--out", str(tmp_path / "out")]
    assert main(argv) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_greedy_samples_are_not_compared(tmp_path):
    folder = write(tmp_path / "1", [2, 2], greedy=True)
    assert group_figure(parse_group(f"a={folder}"), "acc_at_1").mean == 1


def test_two_groups_of_one_name(tmp_path, capsys):
    folder = write(tmp_path / "1", [1])
    assert main(["compare", "--group", f"a={folder}", "--group", f"a={folder}", "--out", str(tmp_path / "out")]) == 1
    assert "same name" in capsys.readouterr().err


# ---- lambda ---------------------------------------------------------------------------------------------------------


def test_sweep_command(tmp_path, capsys, drawn):
    points = {"0.8": [0, 0, 0, 1], "0.2": [2, 2, 2, 2], "0.5": [1, 2, 1, 1]}
    options = []
    for value, right in points.items():
        options += ["--point", f"{value}={write(tmp_path / value, right, edits=3 if value == '0.2' else 1)}"]
    assert main(["lambda", *options, "--out", str(tmp_path / "out")]) == 0
    page = capsys.readouterr().out
    assert "| λ | 0.2 | 0.5 | 0.8 |" in page
    assert "| Acc@1 | 100.0% [100.0, 100.0] | 62.5%" in page and "| edit ratio, chosen | 0.750 [0.750, 0.750] |" in page
    assert "Acc@1 falls with λ, the paper's direction (rank correlation of λ and Acc@1: -1.00; Acc@1 at λ = 0.8" in page
    written = json.loads((tmp_path / "out/lambda.json").read_text())
    assert written["lambda"] == [0.2, 0.5, 0.8] and written["rank_correlation"] == pytest.approx(-1)
    assert written["ends"]["difference"] == pytest.approx(1 / 8 - 1)
    assert [len(line.get_xdata()) for line in drawn[0].lines] == [3, 3, 3]
    assert (tmp_path / "out/lambda.svg").read_text().endswith("</svg>\n")


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


@pytest.mark.parametrize(
    ("points", "message"),
    [(["0.5={one}"], "at least two"), (["0.5={one}", "0.5={one}"], "at least two"), (["x={one}"], "write LAMBDA=DIR")],
)
def test_sweep_refuses(tmp_path, capsys, points, message):
    one = write(tmp_path / "1", [1])
    options = [option for point in points for option in ("--point", point.format(one=one))]
    assert main(["lambda", *options, "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err


def test_constant_accuracy_has_no_direction(tmp_path, capsys):
    options = [option for value in (0, 1) for option in ("--point", f"{value}={write(tmp_path / str(value), [1, 2])}")]
    assert main(["lambda", *options, "--out", str(tmp_path / "out")]) == 0
    assert "no clear direction" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/lambda.json").read_text())["rank_correlation"] is None


# ---- plot -----------------------------------------------------------------------------------------------------------


def test_chart_has_the_points_and_their_intervals(drawn):
    points = [
        Point(Interval(0.2, 0.1, 0.3), Interval(0.5, 0.4, 0.7)),
        Point(Interval(0.4, 0.4, 0.4), Interval(1, 1, 1)),
    ]
    series = [Series('a <&> "b"', points[:1]), Series("c", points, joined=True), Series("none", [])]
    ElementTree.fromstring(chart(series, x_label="x < 1", y_label="y"))
    (axes,) = drawn
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0.2, 0.5]], [[0.2, 0.5], [0.4, 1]], []]
    assert [line.get_linestyle() for line in axes.lines] == ["None", "-", "None"]
    across, along = (lines.get_segments()[0].tolist() for lines in axes.collections[:2])
    assert across == [[0.1, 0.5], [0.3, 0.5]] and along == [[0.2, 0.4], [0.2, 0.7]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x < 1", "y")


def test_a_chart_needs_a_point():
    with pytest.raises(ValueError, match="no point"):
        chart([Series("a", [])], x_label="x", y_label="y")
