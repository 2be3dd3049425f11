# SPDX-License-Identifier: Apache-2.0
"""Gates: range, support, soft weights, steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.core.gates import KINDS, LEVELS, SEGMENTS, TAUS, GateConfig, build_gate, segments, split_steps

MASKS = st.lists(st.booleans(), max_size=30).map(lambda bits: np.array(bits, dtype=bool))
CONFIGS = st.builds(
    GateConfig,
    kind=st.sampled_from(KINDS),
    alpha=st.floats(0, 2),
    tau=st.sampled_from(TAUS),
    level=st.sampled_from(LEVELS),
    segments=st.sampled_from(SEGMENTS),
)


def as_mask(text):
    return np.array([character == "x" for character in text], dtype=bool)


@given(MASKS, CONFIGS, st.data())
def test_gate_is_a_float32_in_the_unit_interval(mask, config, data):
    steps = np.sort(data.draw(st.lists(st.integers(0, 5), min_size=len(mask), max_size=len(mask))))
    gate = build_gate(mask, config, step_ids=steps)
    assert gate.shape == mask.shape and gate.dtype == np.float32
    assert ((gate >= 0) & (gate <= 1)).all()


@given(MASKS, st.sampled_from(KINDS), st.sampled_from(TAUS), st.sampled_from(SEGMENTS))
def test_token_gate_is_zero_outside_the_mask(mask, kind, tau, kept):
    assert not build_gate(mask, GateConfig(kind=kind, tau=tau, segments=kept))[~mask].any()


@given(MASKS)
def test_default_gate_is_the_mask(mask):
    assert (build_gate(mask, GateConfig()) == mask).all()


@given(MASKS)
def test_soft_gate_with_alpha_zero_is_the_mask(mask):
    assert (build_gate(mask, GateConfig(kind="soft", alpha=0.0)) == mask).all()


@given(MASKS)
def test_soft_gate_is_one_at_tau(mask):
    for start, end in segments(mask):
        assert build_gate(mask, GateConfig(kind="soft"))[start] == 1
        assert build_gate(mask, GateConfig(kind="soft", tau="segment_centre"))[start:end].max() == 1
    for start, _ in segments(mask)[:1]:
        assert build_gate(mask, GateConfig(kind="soft", tau="first_difference"))[start] == 1


def test_soft_weights_of_equation_9():
    mask = as_mask(".xxx.x")
    decay = np.exp(-0.5 * np.arange(6))
    cases = {
        "segment_start": [0, decay[0], decay[1], decay[2], 0, decay[0]],
        "segment_centre": [0, decay[1], decay[0], decay[1], 0, decay[0]],
        "first_difference": [0, decay[0], decay[1], decay[2], 0, decay[4]],
    }
    for tau, expected in cases.items():
        np.testing.assert_allclose(build_gate(mask, GateConfig("soft", 0.5, tau)), expected, rtol=1e-6)


@given(MASKS, st.data())
def test_step_gate_covers_the_mask_and_whole_steps(mask, data):
    steps = np.sort(data.draw(st.lists(st.integers(0, 5), min_size=len(mask), max_size=len(mask))))
    gate = build_gate(mask, GateConfig(level="step"), step_ids=steps) > 0
    assert gate[mask].all()
    for step in np.unique(steps):
        assert (gate[steps == step] == mask[steps == step].any()).all()


def test_first_segment_is_taken_before_steps_are_widened():
    mask, steps = as_mask(".x..x."), np.array([0, 0, 0, 1, 1, 1])
    config = GateConfig(level="step", segments="first")
    assert build_gate(mask, config, step_ids=steps).tolist() == [1, 1, 1, 0, 0, 0]
    assert build_gate(mask, GateConfig(segments="first")).tolist() == [0, 1, 0, 0, 0, 0]


@given(MASKS, CONFIGS, st.data())
def test_tool_tokens_are_never_gated(mask, config, data):
    loss_mask = data.draw(st.lists(st.booleans(), min_size=len(mask), max_size=len(mask)))
    gate = build_gate(mask, config, step_ids=np.zeros(len(mask), dtype=int), loss_mask=loss_mask)
    assert not gate[~np.array(loss_mask, dtype=bool)].any()


def test_segments_are_half_open_runs():
    assert segments(as_mask("xx.x..x")) == [(0, 2), (3, 4), (6, 7)]
    assert segments(as_mask("...")) == segments(as_mask("")) == []


@pytest.mark.parametrize(
    ("separator", "tokens", "steps"),
    [
        ("blank_line", ["a", "\n", "\n", "b", "\n", "c"], [0, 0, 0, 1, 1, 1]),  # a separator over two tokens
        ("blank_line", ["a.\n\n", "b", ".\n \n", "\n", "c"], [0, 1, 1, 1, 2]),
        ("blank_line", ["a\n\nb", "c"], [0, 1]),  # cut at the token boundary after the separator
        ("line", ["a", "\n", "b\n", "", "\n", "c", "<end>"], [0, 0, 1, 1, 1, 2, 2]),
        ("sentence", ["x", "=", "3", ".", "1", "4", ".", " So", " y", "!"], [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
        ("sentence", ["(yes", ".)", " no", "\n", "done"], [0, 0, 1, 1, 2]),
        ("sentence", ["对。", "好"], [0, 1]),
        ("line", [], []),
        ("blank_line", ["", ""], [0, 0]),
    ],
)
def test_split_steps(separator, tokens, steps):
    assert split_steps(tokens, separator).tolist() == steps


@given(st.lists(st.text("ab.\n ", max_size=3), max_size=30), st.sampled_from(["blank_line", "line", "sentence"]))
def test_steps_count_up_without_holes(tokens, separator):
    steps = split_steps(tokens, separator)
    assert len(steps) == len(tokens) and np.isin(np.diff(steps), [0, 1]).all() and not steps[:1].any()


def test_retokenising_does_not_move_the_cut():
    text = "one\n\ntwo three\n\nfour"
    whole = split_steps(list(text))
    pairs = split_steps([text[i : i + 2] for i in range(0, len(text), 2)])
    assert whole.max() == pairs.max() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "softt"}, "kind='softt'.*did you mean 'soft'"),
        ({"tau": "segment_center"}, "did you mean 'segment_centre'"),
        ({"level": "steps"}, "did you mean 'step'"),
        ({"segments": "frist"}, "did you mean 'first'"),
        ({"alpha": -0.1}, "alpha=-0.1"),
        ({"alpha": float("nan")}, "alpha=nan"),
    ],
)
def test_config_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        GateConfig(**options)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="needs step_ids"):
        build_gate(as_mask("x"), GateConfig(level="step"))
    with pytest.raises(ValueError, match="step_ids has shape"):
        build_gate(as_mask("x"), GateConfig(level="step"), step_ids=np.zeros(2, dtype=int))
    with pytest.raises(ValueError, match="loss_mask has shape"):
        build_gate(as_mask("x"), GateConfig(), loss_mask=[True, False])
    with pytest.raises(ValueError, match="separator='blank_lines'.*'blank_line'"):
        split_steps(["a"], "blank_lines")
