# SPDX-License-Identifier: Apache-2.0
"""What the page computes, in a JavaScript engine, against the method in Python."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.lab.inspect.runs import record, token_arrays
from verl_df.lab.inspect.index import COLUMNS, summary
from verl_df.lab.visible import visible
from verl_df.method.alignment import Method, align
from verl_df.method.gates import GateConfig, GateKind, Level, Segments, StepSeparator, Tau, build_gate, segments
from verl_df.method.gates import split_steps as python_steps
from verl_df.method.group import SkipReason
from verl_df.method.metrics import mask_truth
from verl_df.method.repair import Rejection

Js = Callable[..., Any]
# the engine is one for all examples, on purpose
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PIECES = [
    "a",
    " b",
    ".",
    "!",
    "?",
    "...",
    "\n",
    "\n\n",
    " \n",
    "\t",
    "。",
    "！",
    '"',
    ")",
    "3.14",
    "\x1c",
    "\u2003",
    "",
    "😀",
]
RESPONSES = st.lists(st.tuples(st.sampled_from(PIECES), st.booleans()), max_size=40)
IDS = st.lists(st.integers(0, 3), max_size=40)


def bits(mask: np.ndarray) -> list[int]:
    return mask.astype(int).tolist()


@many
@given(RESPONSES, st.sampled_from(StepSeparator))
@example([("\ufeff", True), (".", False), ("\ufeff", False), ("x", True)], StepSeparator.SENTENCE)
def test_steps_are_those_of_the_method(js: Js, response: list, separator: StepSeparator):
    texts = [text for text, _ in response]
    assert js("splitSteps", texts, separator.value) == python_steps(texts, separator).tolist()


@many
@given(
    RESPONSES,
    st.sampled_from(GateKind),
    st.sampled_from(Tau),
    st.sampled_from(Level),
    st.sampled_from(Segments),
    st.sampled_from(StepSeparator),
    st.sampled_from([0.0, 0.1, 2.0]),
)
def test_gates_are_those_of_the_method(
    js: Js, response: list, kind: GateKind, tau: Tau, level: Level, which: Segments, end: StepSeparator, alpha: float
):
    texts, mask = [text for text, _ in response], np.array([marked for _, marked in response], dtype=bool)
    config = GateConfig(kind=kind, alpha=alpha, tau=tau, level=level, step_separator=end, segments=which)
    expected = build_gate(mask, config, step_ids=python_steps(texts, end))
    options = {"kind": kind, "alpha": alpha, "tau": tau, "level": level, "separator": end, "segments": which}
    assert js("buildGate", bits(mask), texts, options) == pytest.approx(expected.tolist(), abs=1e-6)
    assert js("segments", bits(mask)) == [list(run) for run in segments(mask)]


@many
@given(IDS, IDS, st.sampled_from(Method))
@example([], [], Method.LCS)
@example([1], [], Method.LEVENSHTEIN)
def test_alignments_are_those_of_the_method(js: Js, y: list[int], y_hat: list[int], method: Method):
    expected = align(y, y_hat, method=method)
    blocks = js("alignedBlocks", y, y_hat, method.value)
    assert js("blockMasks", blocks, len(y), len(y_hat)) == [bits(expected.error_mask), bits(expected.repair_mask)]


def test_what_is_too_long_to_align_is_left_out(js: Js):
    assert js("alignedBlocks", [0] * 5000, [1] * 5000, "lcs") is None
    assert js("alignedBlocks", [0] * 5000, [*([0] * 4999), 1], "lcs") == [[4999, 5000, 4999, 5000]]


@many
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=50), st.integers(0, 2**32 - 1))
def test_random_gates_are_another_order_of_the_same_values(js: Js, gate: list[float], seed: int):
    found = js("randomGate", gate, seed)
    assert sorted(found) == sorted(gate)
    assert js("randomGate", gate, seed) == found


def test_random_gates_differ_by_seed_and_reach_every_place(js: Js):
    gates = [js("randomGate", [1, 0, 0, 0, 0], seed) for seed in range(200)]
    assert np.all(np.sum(gates, axis=0) > 20)


@many
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.booleans()), min_size=1, max_size=30))
def test_precision_and_recall(js: Js, tokens: list):
    gate, truth = [one for one, _ in tokens], [wrong for _, wrong in tokens]
    found, expected = js("gateFigures", gate, truth), mask_truth(np.array(gate), truth)
    marked, wrong = expected.tp + expected.fp, expected.tp + expected.fn
    assert found["precision"] == (pytest.approx(expected.tp / marked) if marked else None)
    assert found["recall"] == (pytest.approx(expected.tp / wrong) if wrong else None)
    assert found["density"] == pytest.approx(marked / len(gate))
    assert found["differing"] == pytest.approx((expected.fp + expected.fn) / len(gate))


@pytest.mark.parametrize("number", range(1, 12))
def test_lenses_of_a_record(js: Js, number: int):
    one = record(number)
    content = dataclasses.asdict(one)
    options = js("(() => LENS_DEFAULTS)")
    if one.repair is None:
        assert js("lensGates", content, "run", options) == {"error": list(one.error.gate), "repair": []}
        assert js("lensGates", content, "soft", options) is None
        return
    repair = one.repair
    configs = {
        "binary": GateConfig(),
        "soft": GateConfig(kind=GateKind.SOFT),
        "step": GateConfig(level=Level.STEP),
        "first": GateConfig(segments=Segments.FIRST),
    }
    for lens, config in configs.items():
        found = js("lensGates", content, lens, options)
        for name, side in (("error", one.error), ("repair", repair)):
            steps = python_steps(side.tokens, config.step_separator)
            expected = build_gate(np.array(side.mask, dtype=bool), config, step_ids=steps)
            assert found[name] == pytest.approx(expected.tolist(), abs=1e-6)
    lcs = align(one.error.token_ids, repair.token_ids, method=Method.LCS)
    assert js("lensGates", content, "lcs", options) == {"error": bits(lcs.error_mask), "repair": bits(lcs.repair_mask)}
    blocks = js("linkedBlocks", content)
    masks = js("blockMasks", blocks, len(one.error.mask), len(repair.mask))
    assert masks == [list(one.error.mask), list(repair.mask)]


@many
@given(st.text(st.characters(exclude_categories=[]), max_size=20))
@example("\u202e\x1b\u200b\U000e0041\ud83d é😀")
def test_hidden_characters_are_shown_as_everywhere(js: Js, text: str):
    assert js("visible", text) == visible(text)


def rows(js: Js) -> list[dict]:
    return [js("rowObject", COLUMNS, [n + 1, 0, 0, *summary(record(n))]) for n in range(12)]


def selected(js: Js, **change: str) -> list[int]:
    state = js("readHash", "") | change
    return [row["line"] for row in js("selectRows", rows(js), state)]


def test_search_filters_and_sorting(js: Js):
    every = [record(number) for number in range(12)]
    assert selected(js) == list(range(1, 13))
    assert selected(js, q="PROMPT-1 many") == [3, 4]
    assert selected(js, step="2") == [5, 6, 7, 8]
    assert selected(js, step="2-3") == list(range(5, 13))
    assert selected(js, state="infeasible") == [1, 4, 7, 10] == selected(js, reason="unfinished")
    assert selected(js, state="empty") == []
    ratios = [every[line - 1].edit_ratio for line in selected(js, sort="ratio", down="1")]
    values = [ratio for ratio in ratios if ratio is not None]
    assert values == sorted(values, reverse=True) and ratios[len(values) :] == [None] * 4
    known = selected(js, sort="disagreement")
    assert {line - 1 for line in known[-8:]} == {n for n in range(12) if n % 3 == 0 or n % 2 == 0}


@many
@given(st.dictionaries(st.sampled_from(["q", "step", "pair", "reason", "view"]), st.text(max_size=10)))
def test_addresses_are_read_as_they_were_written(js: Js, change: dict[str, str]):
    try:
        json.dumps(change).encode().decode("unicode_escape").encode("utf-8")
    except UnicodeError:
        return  # an address holds no half of a surrogate pair
    state = js("readHash", "") | change
    assert js("readHash", js("writeHash", state)) == state


@pytest.mark.parametrize("text", ["#", "#pair", "#q=%E0%A4%A", "#__proto__=1&constructor=2", "#sort=nothing"])
def test_addresses_that_are_broken_are_the_start_page(js: Js, text: str):
    assert js("readHash", text) == js("readHash", "")


DRAWN = "((series, zero) => { const at = frame(series, zero); return series.map((one) => places(one.points, at)); })"
VALUES = st.floats(-1e99, 1e99) | st.sampled_from([0.4453125, 0.44531250000000006, 5e-324, -5e-324, 0.0, -0.0, 1e-300])


@many
@given(st.lists(st.dictionaries(st.integers(0, 2**31 - 1), VALUES, min_size=1, max_size=9), min_size=1), st.booleans())
def test_any_curve_is_drawn_inside_its_chart(js: Js, curves: list[dict[int, float]], zero: bool) -> None:
    """Flat, tiny and huge ones: those that are read (`report.loading.read_curves`)."""
    series = [{"points": sorted(curve.items())} for curve in curves]
    for one, drawn in zip(series, js(DRAWN, series, zero), strict=True):
        assert len(drawn) == len(one["points"])
        assert all(0 <= x <= 520 and 0 <= y <= 200 for x, y in drawn)
        assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


def test_what_the_update_did_not_see_is_said(js: Js):
    one = dataclasses.asdict(token_arrays(1))
    pair = dataclasses.asdict(record(1))
    assert "rollout engine's log-probabilities (calculate_log_probs" in " ".join(js("updateNotes", pair, one, []))
    assert js("updateNotes", pair, one | {"error": None, "repair": None}, []) == [
        "y was not in the update.",
        "ŷ was not in the update.",
    ]
    assert js("updateNotes", pair, None, ["line 7: ..."])[0].endswith("cannot be read. line 7: ...")
    assert "not trained on" in js("updateFigures", one["error"], 5)
    assert js("updateFigures", None, 5) == ""
    assert set(js("(() => Object.keys(UPDATE_COLUMNS))")) == one["error"].keys() - {"trained", "weight"}


def test_every_reason_has_words(js: Js):
    assert js("(() => Object.keys(REASONS))") == [one.value for one in Rejection]
    assert js("(() => Object.keys(SKIPS))") == [one.value for one in SkipReason]


def line(first: float, last: float, points: int = 12) -> list[list[float]]:
    return [[step, first + (last - first) * step / (points - 1)] for step in range(points)]


ACCURACY = "val-core/toy/acc/mean@1"
ROWS = {"df/rows/error": line(10, 10), "df/rows/repair": line(10, 10)}


@pytest.mark.parametrize(
    "curves, metrics",
    [
        ({}, []),
        ({"df/mask_density/error": line(0.2, 0.99)}, ["df/mask_density/error"]),
        ({"df/mask_density/repair": line(0.95, 0.95)}, ["df/mask_density/repair"]),
        ({"df/mask_density/error": line(0.95, 0.5)}, []),
        ({"df/mask_density/error": line(0.95, 0.95, 7)}, []),
        ({"df/repair_feasible_rate": line(0.9, 0.5)}, ["df/repair_feasible_rate"]),
        ({"df/repair_feasible_rate": line(0.5, 0.9)}, []),
        ({"df/empty_masks": line(0, 4), **ROWS}, ["df/empty_masks"]),
        ({"df/empty_masks": line(0, 0.5), **ROWS}, []),
        ({"df/repaired/entropy": line(0.5, 1.5)}, ["df/repaired/entropy"]),
        ({"df/repaired/ppo_kl": line(0.01, 0.2), "df/policy/ppo_kl": line(0, 0)}, ["df/repaired/ppo_kl"]),
        ({"df/repaired/entropy": line(0.5, 1.5), "df/policy/entropy": line(0.5, 1.5)}, []),
        ({"df/repaired/entropy": line(1.5, 0.5)}, []),
        ({ACCURACY: line(0.3, 0.6), "df/mask_truth/precision": line(0.9, 0.5)}, ["df/mask_truth/precision"]),
        ({ACCURACY: line(0.6, 0.3), "df/mask_truth/precision": line(0.9, 0.5)}, []),
        ({ACCURACY: line(0.3, 0.6), "df/mask_truth/precision": line(0.5, 0.9)}, []),
        ({"training/rollout_probs_diff_mean": line(0.001, 0.02)}, ["training/rollout_probs_diff_mean"]),
        ({"training/rollout_probs_diff_mean": line(0.05, 0.001)}, []),
        ({"repair/g_vis": line(0.9, 0.3)}, ["repair/g_vis"]),
        ({"repair/g_vis": line(0.3, 0.9)}, []),
        ({"df/policy/picture_gain": line(0.3, 0.0)}, []),  # 0.03 over the last quarter
        ({"df/policy/picture_gain": line(0.02, -0.01)}, ["df/policy/picture_gain"]),
    ],
)
def test_red_flags(js: Js, curves: dict[str, Any], metrics: list[str]):
    found = js("redFlags", curves)
    assert [flag["metric"] for flag in found] == metrics
    assert all(flag["title"] and flag["what"] and flag["todo"] for flag in found)
