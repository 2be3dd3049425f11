# SPDX-License-Identifier: Apache-2.0
"""Outcomes and figures on records written by hand."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.lab.repair_eval.figures import FIGURES, compute_figures, figure_interval
from verl_df.lab.repair_eval.outcomes import Survival, collect_outcomes
from verl_df.lab.repair_eval.records import FULL, HIDDEN, SHOWN, SampleRecord, TaskRecord, read_records, write_records
from verl_df.lab.repair_eval.tables import render_report
from verl_df.method.metrics import MaskTruth

END = 9
Y = (1, 2, 3, END)


def task(name="t", prompt="p", kind="sibling", truth=(0, 1, 0, 0)):
    return TaskRecord(name, prompt, kind, "how many?", "3", "one, two, 3", "one, two, 4", Y, truth)


def sample(ids, right, *, number=0, task_id="t", method="m", decoding="sampled", condition=FULL, seed=0, **changes):
    record = SampleRecord(
        task_id, method, decoding, condition, seed, number, tuple(ids), "text", True, False, float(right)
    )
    return replace(record, **changes)


def outcome(samples, tasks=None, threshold=1.0):
    (outcomes,) = collect_outcomes(tasks or [task()], samples, threshold).values()
    assert len(outcomes) == 1
    return outcomes[0]


def parts(samples, **arguments):
    one = outcome(samples, **arguments)
    return {name: figure(one) for name, figure in FIGURES.items()}


def test_nearest_right_sample_is_chosen():
    found = outcome(
        [sample((1, 5, 6, END), True), sample((1, 2, 3, END), False, number=1), sample((1, 7, 3, END), True, number=2)]
    )
    assert found.right == (True, False, True)
    assert found.ratios == (0.5, 0.0, 0.25)
    assert found.chosen_ratio == 0.25
    assert found.truth == MaskTruth(tp=1, fp=0, fn=0)
    assert found.rejections == Counter(wrong=1)


def test_figures_of_one_outcome():
    found = parts(
        [sample((1, 2, 8, END), True), sample((4, 5, 6, END), False, number=1), sample((4, 2, 8, END), True, number=2)]
    )
    assert found["acc_at_1"] == (2, 3)
    assert found["acc_at_2"] == (1.0, 1)  # one wrong of three: any two hold a right one
    assert found["edit_ratio_chosen"] == (0.25, 1)
    assert found["edit_ratio_right"] == (0.75, 2)
    assert found["edit_ratio_all"] == (1.5, 3)
    assert found["feasible"] == (True, 1)
    assert found["mask_precision"] == (0, 1)
    assert found["mask_recall"] == (0, 1)
    assert found["mask_f1"] == (0, 2)
    assert found["survival_hidden"] == found["survival_shown"] == (0, 0)


def test_precision_and_recall_of_a_mask():
    found = parts([sample((1, 5, 3, END), True)], tasks=[task(truth=(1, 1, 1, 0))])
    assert found["mask_precision"] == (1, 1)
    assert found["mask_recall"] == (1, 3)
    assert found["mask_f1"] == (2, 4)


def test_samples_that_are_right_but_no_feasible_repair():
    found = outcome(
        [
            sample(Y, True),
            sample((1, 5, END), True, number=1, contains_placeholder=True),
            sample((1, 5, 5), True, number=2, finished=False),
            sample((), False, number=3),
        ]
    )
    assert found.right == (True, True, True, False)
    assert found.chosen_ratio is None and found.truth is None
    assert found.rejections == Counter(identical=1, placeholder=1, unfinished=1, empty=1)


def test_order_of_lines_does_not_matter():
    samples = [sample((1, 5, 3, END), True), sample((1, 6, 3, END), True, number=1), sample(Y, False, number=2)]
    assert outcome(samples) == outcome(samples[::-1])


def test_one_sample_has_no_acc_at_2():
    assert parts([sample((1, 5, END), True)])["acc_at_2"] == (0, 0)


def test_threshold_says_what_is_right():
    half = [sample((1, 5, 3, END), 0.5)]
    assert outcome(half).right == (False,) and outcome(half, threshold=0.5).right == (True,)
    assert outcome(half, threshold=0.5).chosen_ratio == 0.25


def test_mask_without_a_truth_does_not_count():
    found = parts([sample((1, 5, 3, END), True)], tasks=[task(truth=None)])
    assert found["mask_precision"] == found["mask_recall"] == found["mask_f1"] == (0, 0)


def test_survival_pairs_samples_by_number():
    found = outcome(
        [
            sample((1, 5, 3, END), True),
            sample((1, 6, 3, END), False, number=1),
            sample((1, 7, 3, END), True, number=2),
            sample((1,), True, number=0, condition=HIDDEN),
            sample((1,), True, number=1, condition=HIDDEN),
            sample((1,), False, number=2, condition=HIDDEN),
            sample((1,), True, number=0, condition=SHOWN),
            sample((1,), False, number=1, condition=SHOWN),
            sample((1,), True, number=2, condition=SHOWN),
        ]
    )
    assert found.survival_hidden == Survival(right=2, stayed=1)
    assert found.survival_shown == Survival(right=2, stayed=2)
    assert found.right == (True, False, True)  # those without the image are no repairs


def test_right_sample_that_was_not_asked_again_does_not_count():
    samples = [sample((1, 5, 3, END), True), sample((1, 6, 3, END), True, number=1)]
    found = outcome([*samples, sample((1,), True, number=1, condition=HIDDEN)])
    assert found.survival_hidden == Survival(right=1, stayed=1) and found.survival_shown is None


def test_seeds_methods_and_decodings_stay_apart():
    samples = [
        sample((1, 5, 3, END), True, seed=seed, method=method, decoding=decoding)
        for seed in (0, 1)
        for method in ("a", "b")
        for decoding in ("sampled", "greedy")
    ]
    found = collect_outcomes([task()], samples, 1.0)
    assert {row: [one.seed for one in outcomes] for row, outcomes in found.items()} == {
        (method, decoding): [0, 1] for method in ("a", "b") for decoding in ("sampled", "greedy")
    }


def test_strange_samples_are_refused():
    with pytest.raises(ValueError, match="which is not among the tasks"):
        collect_outcomes([task()], [sample(Y, False, task_id="u")], 1.0)
    with pytest.raises(ValueError, match="without the image and none with it"):
        collect_outcomes([task()], [sample(Y, False, condition=HIDDEN)], 1.0)


TASKS = [task("t1", "p1"), task("t2", "p1"), task("t3", "p2", kind="answer", truth=None)]
SAMPLES = [
    sample(ids, right, number=number, task_id=name)
    for name, samples in {
        "t1": [((1, 5, 3, END), True), ((1, 5, 6, END), True)],
        "t2": [(Y, False), ((7, 7, 7, END), False)],
        "t3": [((1, 2, END), True), (Y, False)],
    }.items()
    for number, (ids, right) in enumerate(samples)
]


def test_table_by_kind_of_reference():
    rows = compute_figures(collect_outcomes(TASKS, SAMPLES, 1.0))
    assert [(row.reference_kind, row.tasks, row.prompts, row.samples) for row in rows] == [
        ("all", 3, 2, 6),
        ("sibling", 2, 1, 4),
        ("answer", 1, 1, 2),
    ]
    all_figures, sibling, answer = (row.figures for row in rows)
    assert all_figures["acc_at_1"].estimate == pytest.approx(0.5)
    assert all_figures["acc_at_2"].estimate == pytest.approx(2 / 3)
    assert all_figures["edit_ratio_chosen"].estimate == pytest.approx(0.25)
    assert sibling["feasible"].estimate == 0.5 and answer["feasible"].estimate == 1
    assert sibling["mask_f1"].estimate == 1 and answer["mask_f1"] is None
    assert rows[0].rejections == {"wrong": 3} and rows[0].truth_known == 1


def test_one_kind_of_reference_has_one_row():
    rows = compute_figures(collect_outcomes(TASKS[:2], SAMPLES[:4], 1.0))
    assert [row.reference_kind for row in rows] == ["sibling"]


def test_intervals_resample_prompts():
    (outcomes,) = collect_outcomes(TASKS, SAMPLES, 1.0).values()
    one_prompt = figure_interval("acc_at_1", outcomes[:2], level=0.95, seed=0)
    assert (one_prompt.low, one_prompt.estimate, one_prompt.high) == (0.5, 0.5, 0.5)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=6))
def test_relations_between_figures(drawn):
    found = parts([sample([*Y[:3], *[7] * more, END], right, number=i) for i, (right, more) in enumerate(drawn)])
    value = {name: top / bottom for name, (top, bottom) in found.items() if bottom}
    assert value["acc_at_1"] <= value["acc_at_2"] <= 1
    assert (value["acc_at_1"] > 0) == ("edit_ratio_right" in value)
    if value["feasible"]:
        assert value["edit_ratio_chosen"] == min(more / 4 for right, more in drawn if right and more)


def test_report_leaves_out_what_was_not_measured():
    rows = compute_figures(collect_outcomes(TASKS, SAMPLES, 1.0))
    page = render_report({"data": "a|b", "policy": None}, rows)
    assert "right without image" not in page.split("Brackets")[0] and "mask F1" in page
    assert "| m | all | 3 | 50.0% [50.0, 50.0] |" in page
    assert "a\\|b" in page and "| policy | – |" in page


def test_records_survive_the_file(tmp_path):
    for name, records in (("tasks", TASKS), ("samples", SAMPLES)):
        write_records(tmp_path / name, records)
        assert list(read_records(tmp_path / name, type(records[0]))) == records
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples", "tasks"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"reward":1.0', '"reward":2.0', "reward 2.0"),
        ('"condition":"full"', '"condition":"ful"', "did you mean 'full'"),
        ('"seed":0', '"seed":"0"', "seed must be of type int"),
        ('"token_ids":[1,', '"token_ids":["1",', "token_ids must be a list of whole numbers"),
        ('"schema_version":1', '"schema_version":7', "schema_version is 7"),
        ('"seed":0,', "", r"missing keys \['seed'\]"),
        ('"finished":true', '"finished":1', "finished must be of type bool"),
        ("{", "", "Extra data"),
    ],
)
def test_broken_lines_are_named(tmp_path, old, new, message):
    path = tmp_path / "samples.jsonl"
    write_records(path, SAMPLES[:2])
    first, second = path.read_text().splitlines()
    assert old in second
    path.write_text(f"{first}\n{second.replace(old, new, 1)}\n")
    with pytest.raises(ValueError, match=f"samples.jsonl, line 2: .*{message}"):
        list(read_records(path, SampleRecord))


def test_task_records_check_themselves():
    with pytest.raises(ValueError, match="2 entries for 4 tokens"):
        task(truth=(0, 1))
    with pytest.raises(ValueError, match="reference_kind"):
        task(kind="neighbour")
