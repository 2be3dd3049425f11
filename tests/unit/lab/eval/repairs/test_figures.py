# SPDX-License-Identifier: Apache-2.0
"""Outcomes and figures on records written by hand."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.lab.eval.repairs import records
from verl_df.lab.eval.repairs.figures import compute_figures, figure_interval
from verl_df.lab.eval.repairs.outcomes import collect_outcomes
from verl_df.lab.eval.repairs.records import FULL, HIDDEN, SHOWN, SampleRecord, TaskRecord
from verl_df.lab.eval.repairs.report import render_report

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


# the samples of one task, by number: token ids, and whether they are right
CASES = {
    "the nearest right one is chosen": (
        [((1, 5, 6, END), True), ((1, 2, 3, END), False), ((1, 7, 3, END), True)],
        {"acc_at_1": (2, 3), "acc_at_2": (1, 1), "edit_ratio_chosen": (0.25, 1), "edit_ratio_right": (0.75, 2),
         "edit_ratio_all": (0.75, 3), "feasible": (1, 1), "mask_precision": (1, 1), "mask_recall": (1, 1),
         "survival_hidden": (0, 0)},
        Counter(wrong=1),
    ),
    "another token is marked": (
        [((1, 2, 8, END), True), ((4, 5, 6, END), False), ((4, 2, 8, END), True)],
        {"edit_ratio_all": (1.5, 3), "mask_precision": (0, 1), "mask_recall": (0, 1), "mask_f1": (0, 2)},
        Counter(wrong=1),
    ),
    "one sample has no acc_at_2": ([((1, 5, END), True)], {"acc_at_1": (1, 1), "acc_at_2": (0, 0)}, Counter()),
    "right, and no repair": (
        [(Y, True), ((), False)],
        {"acc_at_1": (1, 2), "edit_ratio_chosen": (0, 0), "feasible": (0, 1), "mask_f1": (0, 0)},
        Counter(identical=1, empty=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_figures_of_one_outcome(name):
    drawn, known, rejections = CASES[name]
    samples = [sample(ids, right, number=number) for number, (ids, right) in enumerate(drawn)]
    found = outcome(samples)
    assert {figure: found.parts[figure] for figure in known} == known
    assert (found.rejections, found.samples) == (rejections, len(drawn))
    assert outcome(samples[::-1]) == found  # the order of lines does not matter


def test_samples_that_are_right_but_no_feasible_repair():
    found = outcome(
        [
            sample((1, 5, END), True, contains_placeholder=True),
            sample((1, 5, 5), True, number=1, finished=False),
        ]
    )
    assert found.parts["acc_at_1"] == (2, 2) and found.parts["feasible"] == (0, 1) and not found.truth_known
    assert found.rejections == Counter(placeholder=1, unfinished=1)


def test_masks_against_the_truth():
    marked = [sample((1, 5, 3, END), True)]
    found = outcome(marked, tasks=[task(truth=(1, 1, 1, 0))]).parts
    assert [found[name] for name in ("mask_precision", "mask_recall", "mask_f1")] == [(1, 1), (1, 3), (2, 4)]
    unknown = outcome(marked, tasks=[task(truth=None)])
    assert unknown.parts["mask_f1"] == (0, 0) and not unknown.truth_known


def test_threshold_says_what_is_right():
    half = [sample((1, 5, 3, END), 0.5)]
    assert outcome(half).parts["acc_at_1"] == (0, 1)
    assert outcome(half, threshold=0.5).parts["edit_ratio_chosen"] == (0.25, 1)


def test_survival_pairs_samples_by_number():
    """Of the right ones 0 and 2, without the image: 0 alone with the reference hidden; shown, 2 was not asked again."""
    found = outcome(
        [
            sample((1, 5, 3, END), True),
            sample((1, 6, 3, END), False, number=1),
            sample((1, 7, 3, END), True, number=2),
            *(sample((1,), number < 2, number=number, condition=HIDDEN) for number in range(3)),
            *(sample((1,), number < 1, number=number, condition=SHOWN) for number in range(2)),
        ]
    )
    assert found.parts["survival_hidden"] == (1, 2) and found.parts["survival_shown"] == (1, 1)
    assert found.parts["acc_at_1"] == (2, 3)  # those without the image are no repairs


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
    page = render_report({"data": "a|b", "policy": None}, rows)
    assert "right without image" not in page.split("Brackets")[0] and "mask F1" in page  # what was not measured
    (single,) = compute_figures(collect_outcomes(TASKS[:2], SAMPLES[:4], 1.0))
    assert single.reference_kind == "sibling"


def test_intervals_resample_prompts():
    (outcomes,) = collect_outcomes(TASKS, SAMPLES, 1.0).values()
    one_prompt = figure_interval("acc_at_1", outcomes[:2])
    assert (one_prompt.low, one_prompt.estimate, one_prompt.high) == (0.5, 0.5, 0.5)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=6))
def test_relations_between_figures(drawn):
    samples = [sample([*Y[:3], *[7] * more, END], right, number=i) for i, (right, more) in enumerate(drawn)]
    value = {name: top / bottom for name, (top, bottom) in outcome(samples).parts.items() if bottom}
    assert value["acc_at_1"] <= value["acc_at_2"] <= 1
    assert (value["acc_at_1"] > 0) == ("edit_ratio_right" in value)
    if value["feasible"]:
        assert value["edit_ratio_chosen"] == min(more / 4 for right, more in drawn if right and more)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"reward":1.0', '"reward":2.0', "reward=2.0: must be at most 1"),
        ('"condition":"full"', '"condition":"ful"', "did you mean 'full'"),
        ('"seed":0', '"seed":"0"', "seed: expected int"),
        ('"token_ids":[1,', '"token_ids":["1",', "token_ids.0: expected int"),
        ('"schema_version":1', '"schema_version":7', "schema_version is 7"),
        ('"seed":0,', "", "missing key 'seed'"),
        ('"finished":true', '"finished":1', "finished: expected bool"),
        ("{", "", "Extra data"),
    ],
)
def test_broken_lines_are_named(tmp_path, old, new, message):
    path = tmp_path / "samples.jsonl"
    records.SAMPLES.write(path, SAMPLES[:2])
    assert list(records.SAMPLES.read(path)) == SAMPLES[:2]
    first, second = path.read_text().splitlines()
    assert old in second
    path.write_text(f"{first}\n{second.replace(old, new, 1)}\n")
    with pytest.raises(ValueError, match=f"samples.jsonl, line 2: .*{message}"):
        list(records.SAMPLES.read(path))


def test_task_records_check_themselves():
    with pytest.raises(ValueError, match="2 entries for 4 tokens"):
        task(truth=(0, 1))
