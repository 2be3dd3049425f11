# SPDX-License-Identifier: Apache-2.0
"""Gates: range, support, soft weights, steps."""

import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.method.gates import (
    TOKEN_MEANS,
    GateConfig,
    GateKind,
    Level,
    Normalizer,
    Segments,
    StepSeparator,
    Tau,
    build_gate,
    gate_weights,
    segments,
    split_steps,
)

MASKS = st.lists(st.booleans(), max_size=30).map(lambda bits: np.array(bits, dtype=bool))
CONFIGS = st.builds(
    GateConfig,
    kind=st.sampled_from(GateKind),
    alpha=st.floats(0, 2),
    tau=st.sampled_from(Tau),
    level=st.sampled_from(Level),
    segments=st.sampled_from(Segments),
)


def as_mask(text):
    return np.array([character == "x" for character in text], dtype=bool)


@given(MASKS, CONFIGS, st.data())
def test_gate_is_a_float32_in_the_unit_interval(mask, config, data):
    steps = np.sort(data.draw(st.lists(st.integers(0, 5), min_size=len(mask), max_size=len(mask))))
    gate = build_gate(mask, config, step_ids=steps)
    assert gate.shape == mask.shape and gate.dtype == np.float32
    assert ((gate >= 0) & (gate <= 1)).all()


@given(MASKS, st.sampled_from(GateKind), st.sampled_from(Tau), st.sampled_from(Segments))
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


# --- the normaliser


@st.composite
def padded_batches(draw):
    """Gates and response masks, [rows, T] with padding: some rows have no gated token, some no token at all."""
    rows, length = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    lengths = draw(st.lists(st.integers(0, length), min_size=rows, max_size=rows))
    values = draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=rows * length, max_size=rows * length))
    policy = draw(st.lists(st.booleans(), min_size=rows * length, max_size=rows * length))
    inside = np.arange(length) < np.array(lengths)[:, None]
    gates = np.array(values, dtype=np.float32).reshape(rows, length) * inside
    return gates.astype(np.float32), np.array(policy).reshape(rows, length) & inside


def clipped_loss(advantages, ratios):
    """PPO's loss per token, with verl's dual clip at 3."""
    plain = np.maximum(-advantages * ratios, -advantages * np.clip(ratios, 0.8, 1.2))
    return np.where(advantages < 0, np.minimum(plain, -advantages * 3), plain)


def literal_mean(losses, counted, loss_agg_mode):
    """The mean over the counted tokens, of each row and then over rows, or of the batch; 0 where there are none."""
    if loss_agg_mode == "token-mean":
        return losses[counted].sum() / max(1, counted.sum())
    return sum(row[chosen].sum() / max(1, chosen.sum()) for row, chosen in zip(losses, counted, strict=True)) / len(
        losses
    )


@given(padded_batches(), st.sampled_from(TOKEN_MEANS), st.sampled_from(Normalizer), st.integers(0, 2**32 - 1))
def test_weighted_loss_is_a_mean_over_the_wanted_tokens(batch, loss_agg_mode, normalizer, seed):
    gates, trainable = batch
    noise = np.random.default_rng(seed)
    advantages, ratios = noise.normal(size=gates.shape), noise.uniform(0.0, 5.0, size=gates.shape)
    weights = gate_weights(gates, trainable, normalizer=normalizer, loss_agg_mode=loss_agg_mode)
    assert weights.dtype == np.float32 and weights.shape == gates.shape
    ours = literal_mean(clipped_loss(advantages * weights, ratios), trainable, loss_agg_mode)
    counted = trainable & (gates > 0) if normalizer == "gated" else trainable
    expected = literal_mean(clipped_loss(advantages * gates, ratios), counted, loss_agg_mode)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


@given(padded_batches(), st.sampled_from(TOKEN_MEANS), st.sampled_from(Normalizer), st.booleans())
def test_a_gate_of_ones_is_left_exactly_as_it_is(batch, loss_agg_mode, normalizer, on_observations):
    _, trainable = batch
    ones = np.ones(trainable.shape, dtype=np.float32) if on_observations else trainable.astype(np.float32)
    weights = gate_weights(ones, trainable, normalizer=normalizer, loss_agg_mode=loss_agg_mode)
    assert (weights == ones)[trainable].all()


@given(padded_batches(), st.sampled_from([*TOKEN_MEANS, "seq-mean-token-sum"]))
def test_normalised_by_the_response_the_gates_stay_bit_for_bit(batch, loss_agg_mode):
    gates, trainable = batch
    weights = gate_weights(gates, trainable, normalizer="response", loss_agg_mode=loss_agg_mode)
    assert weights.tobytes() == gates.tobytes() and weights.dtype == np.float32


def test_gated_weights_by_hand():
    gates = np.array([[0, 1, 0, 0.5], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
    trainable = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=bool)
    by_row = gate_weights(gates, trainable, normalizer="gated", loss_agg_mode="seq-mean-token-mean")
    assert by_row.tolist() == [[0, 2, 0, 1], [2, 0, 0, 0], [0, 0, 0, 0]]
    by_batch = gate_weights(gates, trainable, normalizer="gated", loss_agg_mode="token-mean")
    assert by_batch.tolist() == [[0, 3, 0, 1.5], [3, 0, 0, 0], [0, 0, 0, 0]]  # 9 tokens, 3 gated


def test_a_loss_without_a_token_mean_cannot_be_normalised_by_gated_tokens():
    gates, trainable = np.ones((1, 2), dtype=np.float32), np.ones((1, 2), dtype=bool)
    with pytest.raises(ValueError, match="seq-mean-token-mean or token-mean.*not loss_agg_mode='seq-mean-token-sum'"):
        gate_weights(gates, trainable, normalizer="gated", loss_agg_mode="seq-mean-token-sum")


# --- segments and steps


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
    whole = split_steps(list(text), "blank_line")
    pairs = split_steps([text[i : i + 2] for i in range(0, len(text), 2)], "blank_line")
    assert whole.max() == pairs.max() == 2


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="needs step_ids"):
        build_gate(as_mask("x"), GateConfig(level="step"))
    with pytest.raises(ValueError, match="step_ids has shape"):
        build_gate(as_mask("x"), GateConfig(level="step"), step_ids=np.zeros(2, dtype=int))
    with pytest.raises(ValueError, match="loss_mask has shape"):
        build_gate(as_mask("x"), GateConfig(), loss_mask=[True, False])


@pytest.mark.parametrize("separator", list(StepSeparator))
@pytest.mark.parametrize("pattern", [".", "?!", ".'", "\n", "\n ", " ", "。", ". ", ")", '."\n'])
def test_steps_are_found_in_time_in_proportion_to_the_text(separator: StepSeparator, pattern: str) -> None:
    def seconds(size: int) -> float:
        texts = list((pattern * size)[:size] + "a")
        begin = time.process_time()
        split_steps(texts, separator)
        return time.process_time() - begin

    small, large = (min(seconds(size) for _ in range(2)) for size in (4_000, 32_000))
    assert large < 4 * 8 * max(small, 0.005)  # eight times the length; quadratic: 64 times


OLD_SENTENCE = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|[。！？]+|\n(?:[^\S\n]*\n)*")


@given(st.text(alphabet=".!?\"')] \n\ta。！"))
def test_sentences_end_where_the_plain_pattern_says(text: str) -> None:
    """The pattern without lookbehind and possessive quantifiers is the same, and takes quadratic time."""
    begins = {match.end() for match in OLD_SENTENCE.finditer(text)}
    steps = split_steps(list(text), StepSeparator.SENTENCE)
    found = {index for index in range(1, len(text)) if steps[index] != steps[index - 1]}
    assert found == begins - {len(text)}
