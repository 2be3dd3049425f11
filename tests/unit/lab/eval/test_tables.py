# SPDX-License-Identifier: Apache-2.0
"""Figures and comparisons whose scores are known by hand; their layout is in `test_recorded`."""

import re
from functools import partial
from pathlib import Path

import pytest

from tests.unit.lab.eval.support import finished
from verl_df.cli import main
from verl_df.lab.eval.benchmarks import columns
from verl_df.lab.eval.compare import difference, write_comparison
from verl_df.lab.eval.figures import cell, ks, parse_run
from verl_df.lab.eval.finished import scores_file
from verl_df.lab.eval.records import PROBLEMS, SCORES, Problem, Score
from verl_df.lab.eval.tables import write_table


def ones(right: int, of: int) -> list[list[int]]:
    """One sample for each of `of` problems, the first `right` of them right."""
    return [[int(index < right)] for index in range(of)]


@pytest.fixture
def gspo(tmp_path: Path) -> Path:
    """Three sampling seeds with 2, 4 and 6 of 10 right; AI2D besides."""
    seeds = {seed: ones(2 + 2 * seed, 10) for seed in range(3)}
    return finished(tmp_path / "gspo", {"mathvista": seeds, "ai2d": {seed: ones(5, 10) for seed in range(3)}})


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    seeds = {seed: ones(6 + seed, 10) for seed in range(3)}
    return finished(tmp_path / "df_gspo", {"mathvista": seeds, "my_data": {seed: ones(10, 10) for seed in range(3)}})


def test_columns_are_the_papers():
    assert columns(["my_data", "ai2d", "other", "my_data"]) == [
        "mathvista", "mmstar", "mmmu", "mathverse", "mathvision", "ai2d", "my_data", "other",
    ]  # fmt: skip


def test_cell_by_hand(gspo):
    found = cell(parse_run(f"gspo={gspo}"), "mathvista")
    assert (found.values, found.mean, found.problems) == ((0.2, 0.4, 0.6), pytest.approx(0.4), 10)
    # draws of three from {0.2, 0.4, 0.6}: the mean 0.2 has chance 1/27 > 0.025
    assert (found.over_seeds.low, found.over_seeds.high) == (pytest.approx(0.2), pytest.approx(0.6))
    # over problems: means 1, 1, 2/3, 2/3, 1/3, 1/3, 0, 0, 0, 0 with standard error sqrt(0.1511 / 10) = 0.123
    assert found.over_problems.low == pytest.approx(0.4 - 1.96 * 0.123, abs=0.04)
    assert found.over_problems.high == pytest.approx(0.4 + 1.96 * 0.123, abs=0.04)


def test_folders_are_training_seeds(tmp_path):
    """A folder's sampling seeds belong together; the replicates are the folders."""
    first = finished(tmp_path / "a", {"ai2d": {0: ones(2, 4), 1: ones(4, 4)}})
    second = finished(tmp_path / "b", {"ai2d": {0: ones(1, 4), 1: ones(1, 4)}})
    run = parse_run(f"x={first},{second}")
    assert cell(run, "ai2d").values == (0.75, 0.25)
    assert cell(run, "ai2d", 2).values == (1.0, 0.25)  # two samples of each problem, one for each sampling seed
    other = finished(tmp_path / "c", {"ai2d": {0: ones(1, 5), 1: ones(1, 5)}})
    with pytest.raises(ValueError, match="other problems in ai2d"):
        parse_run(f"x={first},{other}")


def test_pass_at_k_by_hand(tmp_path):
    # of 4 samples 1 and 2 are right: pass@2 is 1 - C(3,2)/C(4,2) = 1/2 and 1 - C(2,2)/C(4,2) = 5/6
    run = parse_run(f"x={finished(tmp_path / 'x', {'mmmu': {0: [[1, 0, 0, 0], [1, 1, 0, 0]]}})}")
    assert ks([run]) == [2, 4]
    assert cell(run, "mmmu", 2).mean == pytest.approx((1 / 2 + 5 / 6) / 2)
    assert cell(run, "mmmu", 4).mean == 1.0
    assert cell(run, "mmmu", 8) is None and cell(run, "mmmu").over_seeds is None


def test_samples_that_were_asked_again_may_come_late(gspo):
    """A server failed on problems of the first seed: their samples stand behind those of the other seeds."""
    path = gspo / "samples.jsonl"
    before, lines = cell(parse_run(f"x={gspo}"), "mathvista"), path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[2:] + lines[:2]))
    after = cell(parse_run(f"x={gspo}"), "mathvista")
    assert after.values == pytest.approx(before.values)
    assert after.over_problems.estimate == pytest.approx(before.over_problems.estimate)


def test_plot_has_a_point_for_each_cell(gspo, ours, tmp_path, drawn):
    write_table([parse_run(f"a={gspo}"), parse_run(f"b <&={ours}")], tmp_path, "seeds")
    (axes,) = drawn
    assert [line.get_ydata() for line in axes.lines] == [pytest.approx([40, 50]), pytest.approx([70, 100])]
    whiskers = [[part[:, 1] for part in lines.get_segments()] for lines in axes.collections]
    assert whiskers == [
        [pytest.approx([20, 60]), pytest.approx([50, 50])],
        [pytest.approx([60, 80]), pytest.approx([100, 100])],
    ]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["MathVista", "AI2D", "my_data"]  # no run has MMStar
    assert "b &lt;&amp;" in (tmp_path / "table.svg").read_text()


# ---- comparisons ----------------------------------------------------------------------------------------------------


def test_comparison_by_hand(gspo, ours):
    a, b = parse_run(f"ours={ours}"), parse_run(f"gspo={gspo}")
    found = difference(a, b, "mathvista")
    # over problems: means 1 1 1 1 1 1 2/3 1/3 0 0 less 1 1 2/3 2/3 1/3 1/3 0 0 0 0
    assert found.over_problems.difference == pytest.approx(0.3) and found.common == 10
    assert found.over_problems.p_value < 0.01 and found.over_problems.low > 0
    # over seeds: 0.4, 0.3, 0.2; no draw crosses 0
    assert found.over_seeds.difference == pytest.approx(0.3)
    assert (found.over_seeds.low, found.over_seeds.high) == (pytest.approx(0.2), pytest.approx(0.4))
    assert found.over_seeds.p_value == 2 / 10_001
    assert difference(a, b, "ai2d") is None  # one of them does not have it
    turned = difference(b, a, "mathvista").over_problems
    assert (turned.difference, turned.p_value) == (pytest.approx(-0.3), found.over_problems.p_value)
    same = difference(b, b, "mathvista").over_problems
    assert (same.difference, same.p_value) == (0, 1)


def test_only_common_problems_are_paired(gspo, tmp_path):
    few = finished(tmp_path / "few", {"mathvista": {0: ones(4, 4)}})
    page = write_comparison(parse_run(f"few={few}"), parse_run(f"gspo={gspo}"), tmp_path / "out")
    # of the first four problems few has all right, gspo 1, 1, 2/3, 2/3
    assert "| MathVista | 4 of 4 and 10 | +16.7 [+0.0, +33.3] |" in page
    assert page.count("| – | – |") == 1  # one seed against three


def test_what_cannot_be_compared(gspo, ours, tmp_path):
    path = ours / "problems.jsonl"
    problems = [Problem(**{**vars(one), "ground_truth": "B"}) for one in PROBLEMS.read(path)]
    PROBLEMS.write(path, problems)
    with pytest.raises(ValueError, match="mathvista, problem p0 has the answer 'B' in a, 'A' in b"):
        difference(parse_run(f"a={ours}"), parse_run(f"b={gspo}"), "mathvista")
    apart = finished(tmp_path / "apart", {"mmmu": {0: ones(1, 2)}})
    with pytest.raises(ValueError, match="no data set in common"):
        write_comparison(parse_run(f"a={apart}"), parse_run(f"b={gspo}"), tmp_path / "out")
    with pytest.raises(ValueError, match="same name"):
        write_table([parse_run(f"x={gspo}")] * 2, tmp_path, "seeds")


# ---- other scores, broken folders -----------------------------------------------------------------------------------


def test_scores_of_another_scorer(tmp_path, capsys):
    root = finished(tmp_path / "x", {"ai2d": {0: ones(1, 4)}})
    path = scores_file(root, "lmms_eval")
    SCORES.write(path, [Score("ai2d", f"p{i}", 0, 0, "B", 1.0) for i in range(4)])
    assert cell(parse_run(f"x={root}", "lmms_eval"), "ai2d").mean == 1.0
    assert cell(parse_run(f"x={root}"), "ai2d").mean == 0.25
    SCORES.write(path, [Score("ai2d", "p0", 0, 0, "B", 1.0)])
    arguments = ["table", "--run", f"x={root}", "--out", str(tmp_path / "out"), "--scores"]
    for scorer, message in (("lmms_eval", "lacks 3 of 4 samples"), ("other", "scores.other.jsonl: no such file")):
        assert main(["eval", *arguments, scorer]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("samples.jsonl", lambda text: text + text.splitlines()[0] + "\n", "twice"),
        (
            "samples.jsonl",
            lambda text: text.replace('"score":1.0', '"score":2', 1),
            "score=2: must be at most 1",
        ),
        ("samples.jsonl", lambda text: text.replace('"tokens":3', '"tokens":true', 1), "line 1: tokens: expected int"),
        ("samples.jsonl", lambda text: text.replace('"text":"A",', "", 1), "line 1: missing key 'text'"),
        ("samples.jsonl", lambda text: text.replace('_version":1', '_version":9', 1), "schema_version is 9"),
        ("samples.jsonl", lambda text: "\n".join(text.splitlines()[1:]) + "\n", "holds 3 of 4 samples"),
        ("settings.json", lambda text: text[5:], "settings.json: not JSON"),
        ("settings.json", lambda text: text.replace('"seeds"', '"seed_count"'), "another kind: seeds"),
        *(
            ("settings.json", partial(re.sub, f'"{key}": [^,]*', f'"{key}": {value}'), f"another kind: {key}")
            for key in ("n", "seeds", "seed", "name")
            for value in ("null", "[1]", "1.5", "true", "-1")
        ),
        ("settings.json", lambda text: "[" * 9000, "settings.json: not JSON"),
        ("settings.json", lambda text: "[]", "expected a JSON object"),
        (
            "samples.jsonl",
            lambda text: text.replace('"problem":"p0"', '"problem":"p9"', 1),
            "a sample of ai2d, problem 'p9'",
        ),
        ("problems.jsonl", lambda text: text.replace('"extra_info":{', '"extra_info":["', 1), "line 1"),
    ],
)
def test_broken_files_are_named(name, change, message, tmp_path):
    root = finished(tmp_path / "x", {"ai2d": {0: ones(2, 4)}})
    path = root / name
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        parse_run(f"x={root}")
