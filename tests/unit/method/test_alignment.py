# SPDX-License-Identifier: Apache-2.0
"""Alignment against a naive dynamic programme, on small alphabets where ties abound, and the pinned choices."""

import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verl_df.method import alignment as alignment_module
from verl_df.method.alignment import Backend, Method, align, edit_distance

SEQUENCES = st.lists(st.integers(0, 3), max_size=14)


def naive_distance(y, y_hat):
    row = list(range(len(y_hat) + 1))
    for i, token in enumerate(y, start=1):
        previous, row[0] = row[0], i
        for j, other in enumerate(y_hat, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (token != other))
    return row[-1]


def naive_lcs_length(y, y_hat):
    row = [0] * (len(y_hat) + 1)
    for token in y:
        previous = 0
        for j, other in enumerate(y_hat, start=1):
            previous, row[j] = row[j], previous + 1 if token == other else max(row[j], row[j - 1])
    return row[-1]


def apply_edits(y, y_hat, edits):
    """Carry out the edits on y: tokens of y that no edit touches are kept."""
    removed = {edit.error_pos for edit in edits if edit.kind != "insert"}
    written = {edit.repair_pos: y_hat[edit.repair_pos] for edit in edits if edit.kind != "delete"}
    kept = iter([token for i, token in enumerate(y) if i not in removed])
    length = len(y) - len(removed) + len(written)
    return [written[j] if j in written else next(kept) for j in range(length)]


def pattern(mask):
    return "".join("x" if marked else "." for marked in mask)


def masks(y, y_hat, **options):
    alignment = align([ord(token) for token in y], [ord(token) for token in y_hat], **options)
    return pattern(alignment.error_mask), pattern(alignment.repair_mask)


@given(SEQUENCES, SEQUENCES, st.sampled_from(Backend))
def test_levenshtein_path_is_valid_and_shortest(y, y_hat, backend):
    alignment = align(y, y_hat, backend=backend)
    assert apply_edits(y, y_hat, alignment.edits) == y_hat
    assert len(alignment.edits) == alignment.distance == naive_distance(y, y_hat)
    assert edit_distance(y, y_hat, backend=backend) == alignment.distance


@given(SEQUENCES, SEQUENCES)
def test_lcs_path_is_valid_and_keeps_a_longest_common_subsequence(y, y_hat):
    alignment = align(y, y_hat, method="lcs")
    assert apply_edits(y, y_hat, alignment.edits) == y_hat
    assert {edit.kind for edit in alignment.edits} <= {"insert", "delete"}
    assert len(alignment.edits) == len(y) + len(y_hat) - 2 * naive_lcs_length(y, y_hat)
    assert alignment.distance == naive_distance(y, y_hat)


@given(SEQUENCES, SEQUENCES, st.sampled_from(Method))
def test_every_edited_token_is_marked_and_every_other_mark_is_a_gap(y, y_hat, method):
    alignment = align(y, y_hat, method=method)
    edited_y = {edit.error_pos for edit in alignment.edits if edit.kind != "insert"}
    edited_y_hat = {edit.repair_pos for edit in alignment.edits if edit.kind != "delete"}
    gaps_y = {min(edit.error_pos, len(y) - 1) for edit in alignment.edits if edit.kind == "insert"} if y else set()
    gaps_y_hat = {min(e.repair_pos, len(y_hat) - 1) for e in alignment.edits if e.kind == "delete"} if y_hat else set()
    assert set(np.flatnonzero(alignment.error_mask)) == edited_y | gaps_y
    assert set(np.flatnonzero(alignment.repair_mask)) == edited_y_hat | gaps_y_hat


@given(SEQUENCES, SEQUENCES, st.sampled_from(Method))
def test_masks_are_empty_exactly_for_identical_sequences(y, y_hat, method):
    alignment = align(y, y_hat, method=method)
    assert alignment.error_mask.shape == (len(y),) and alignment.repair_mask.shape == (len(y_hat),)
    assert alignment.error_mask.dtype == alignment.repair_mask.dtype == bool
    if y:
        assert alignment.error_mask.any() == (y != y_hat)
    if y_hat:
        assert alignment.repair_mask.any() == (y != y_hat)


@given(SEQUENCES, SEQUENCES, st.sampled_from(Method))
def test_matched_positions_are_the_tokens_that_the_path_keeps(y, y_hat, method):
    alignment = align(y, y_hat, method=method)
    matched = alignment.matched
    assert matched.dtype == np.int64 and matched.shape == (len(y_hat),)
    pairs = [(i, j) for j, i in enumerate(matched.tolist()) if i >= 0]
    assert all(y[i] == y_hat[j] for i, j in pairs)
    assert all(left[0] < right[0] for left, right in zip(pairs, pairs[1:], strict=False))
    removed = {edit.error_pos for edit in alignment.edits if edit.kind != "insert"}
    written = {edit.repair_pos for edit in alignment.edits if edit.kind != "delete"}
    assert {i for i, _ in pairs} == set(range(len(y))) - removed
    assert {j for _, j in pairs} == set(range(len(y_hat))) - written
    # unmarked tokens are matched; a matched one is marked only by a gap
    assert (matched >= 0)[~alignment.repair_mask].all()
    assert set(np.flatnonzero(~alignment.error_mask)) <= {i for i, _ in pairs}


@pytest.mark.parametrize(
    ("y", "y_hat", "matched"),
    [
        ("abcd", "abXd", [0, 1, -1, 3]),
        ("abcd", "abd", [0, 1, 3]),
        ("abd", "abcd", [0, 1, -1, 2]),
        ("abc", "", []),
        ("", "ab", [-1, -1]),
        ("abc", "abc", [0, 1, 2]),
    ],
)
def test_matched_positions_by_hand(y, y_hat, matched):
    for method in Method:
        assert align([ord(c) for c in y], [ord(c) for c in y_hat], method=method).matched.tolist() == matched


@pytest.mark.parametrize(
    ("y", "y_hat", "kinds"),
    [
        ("abd", "aabcd", ["insert"]),
        ("aabcd", "abd", ["delete"]),
        ("abc", "aXc", ["replace"]),
        ("abc", "aXcd", []),
        ("abc", "abc", []),
    ],
)
def test_paths_of_one_kind_of_edit(y, y_hat, kinds):
    alignment = align([ord(c) for c in y], [ord(c) for c in y_hat])
    assert [kind for kind in ("insert", "delete", "replace") if alignment.edits_only(kind)] == kinds


@given(SEQUENCES, SEQUENCES)
def test_levenshtein_backends_agree_on_the_whole_alignment(y, y_hat):
    one, other = (align(y, y_hat, backend=backend) for backend in Backend)
    assert one.edits == other.edits
    assert (one.error_mask == other.error_mask).all() and (one.repair_mask == other.repair_mask).all()


@given(st.lists(st.integers(0, 50), unique=True, max_size=12), st.data(), st.sampled_from(Method))
def test_masks_swap_with_the_direction_where_the_path_has_no_ties(y, data, method):
    # Tokens that occur once, some replaced by fresh ones or dropped: one matching only, so only the sides change.
    kept = data.draw(st.lists(st.sampled_from(["keep", "replace", "drop"]), min_size=len(y), max_size=len(y)))
    y_hat = [token if what == "keep" else 1000 + token for token, what in zip(y, kept, strict=True) if what != "drop"]
    there, back = align(y, y_hat, method=method), align(y_hat, y, method=method)
    assert (there.error_mask == back.repair_mask).all() and (there.repair_mask == back.error_mask).all()


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("y", "y_hat", "error", "repair"),
    [
        ("abcd", "abXd", "..x.", "..x."),  # substitution
        ("abcd", "abd", "..x.", "..x"),  # deletion before d marks d
        ("abd", "abcd", "..x", "..x."),  # insertion before d marks d
        ("abc", "abcd", "..x", "...x"),  # gap past the end marks the last token
        ("abcd", "abc", "...x", "..x"),
        ("bcd", "abcd", "x..", "x..."),  # gap at the start
        ("abc", "aXYc", ".x.", ".xx."),  # a block with tokens on both sides has no further gap
        ("aXYc", "abc", ".xx.", ".x."),
        ("abc", "XYZ", "xxx", "xxx"),
        ("abc", "", "xxx", ""),
        ("", "abc", "", "xxx"),
        ("", "", "", ""),
        ("abc", "abc", "...", "..."),
    ],
)
def test_gap_rule(method, y, y_hat, error, repair):
    assert masks(y, y_hat, method=method) == (error, repair)


@pytest.mark.parametrize(
    ("y", "y_hat", "method", "error", "repair"),
    [
        ("aab", "ab", "levenshtein", ".x.", ".x"),  # which a is dropped: the second
        ("ab", "aab", "levenshtein", ".x", ".x."),
        ("aab", "ab", "lcs", ".x.", ".x"),
        ("abab", "baba", "levenshtein", "x..x", "x..x"),
        ("baba", "abab", "levenshtein", "x..x", "x..x"),
        ("ab", "ba", "levenshtein", "xx", "xx"),
        ("ab", "ba", "lcs", "xx", "xx"),
    ],
)
def test_ties_are_pinned(y, y_hat, method, error, repair):
    assert masks(y, y_hat, method=method) == (error, repair)


def starts_of_runs(alignment):
    """Where each run of edits starts, in y and in ŷ."""
    removed = {edit.error_pos for edit in alignment.edits if edit.kind != "insert"}
    written = {edit.repair_pos for edit in alignment.edits if edit.kind != "delete"}
    starts, i, j, inside = [], 0, 0, False
    while i < len(alignment.error_mask) or j < len(alignment.repair_mask):
        edited = i in removed or j in written
        starts += [(i, j)] if edited and not inside else []
        i, j, inside = i + (i in removed or not edited), j + (j in written or not edited), edited
    return starts


@settings(max_examples=500)
@given(SEQUENCES, SEQUENCES, st.sampled_from(Method), st.sampled_from(Backend))
def test_every_run_of_edits_starts_where_the_sequences_part(y, y_hat, method, backend):
    alignment = align(y, y_hat, method=method, backend="rapidfuzz" if method == "lcs" else backend)
    assert all(i == len(y) or j == len(y_hat) or y[i] != y_hat[j] for i, j in starts_of_runs(alignment))


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("y", "y_hat", "error", "repair"),
    [
        # after another fix the engine calls the first `and` the one too many
        ("there are 3 red and and 4 blue", "there are 4 red and 4 blue", "..x..x..", "..x..x."),
        ("there are 4 red and 4 blue", "there are 3 red and and 4 blue", "..x..x.", "..x..x.."),
        ("a 1 c so so so b", "a 2 c so b", ".x..xx.", ".x..x"),
        ("a 1 c x y x y b", "a 2 c x y b", ".x...xx.", ".x...x"),
        ("a 1 so so b", "a 2 so c", ".x.xx", ".x.x"),  # the gap reaches the next run
    ],
)
def test_a_stutter_is_wrong_where_the_sequences_part(y, y_hat, error, repair, method):
    words = {word: number for number, word in enumerate(sorted({*y.split(), *y_hat.split()}))}
    alignment = align([words[word] for word in y.split()], [words[word] for word in y_hat.split()], method=method)
    assert (pattern(alignment.error_mask), pattern(alignment.repair_mask)) == (error, repair)


# Ids up to 2**31, and above them some whose Python hash is that of 0 or 1.
LARGE = st.sampled_from([0, 1, 7, 2**31 - 1, 2**31, 2**61 - 1, 2**61, 2**64 - 1])


@given(st.lists(LARGE | st.integers(0, 2**31), max_size=14), st.lists(LARGE, max_size=14), st.sampled_from(Backend))
def test_large_ids_and_those_of_equal_hash_are_told_apart(y, y_hat, backend):
    y_hat = y[:4] + y_hat
    alignment = align(y, y_hat, backend=backend)
    assert edit_distance(y, y_hat, backend=backend) == alignment.distance == naive_distance(y, y_hat)
    assert apply_edits(y, y_hat, alignment.edits) == y_hat
    assert align(y, y_hat, method="lcs").distance == alignment.distance


def test_edit_ratio_is_per_error_token():
    assert align([1, 2, 3, 4], [1, 2]).edit_ratio == 0.5
    assert align([], [1, 2]).edit_ratio == 2.0


def test_numpy_ids_are_accepted_and_other_things_are_not():
    assert edit_distance(np.array([1, 2]), (1, 2)) == 0
    with pytest.raises(TypeError, match="integer"):
        edit_distance(["a"], ["b"])
    for refused in (-100, 2**64):
        with pytest.raises(ValueError, match=f"below 2\\*\\*64.*{refused}.*padding"):
            align([1, refused], [1])


def test_wrong_choices_name_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'levenshtein'"):
        align([1], [2], method="levenstein")
    with pytest.raises(ValueError, match="did you mean 'rapidfuzz'"):
        edit_distance([1], [2], backend="rapid-fuzz")
    with pytest.raises(ValueError, match="no LCS: use rapidfuzz"):
        align([1], [2], method="lcs", backend="python-levenshtein")


def test_missing_extra_is_explained(monkeypatch):
    real_import = builtins.__import__

    def without_levenshtein(name, *args, **kwargs):
        if name == "Levenshtein":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_levenshtein)
    with pytest.raises(ImportError, match="GPL.*backend='rapidfuzz'"):
        edit_distance([1], [2], backend="python-levenshtein")
    assert edit_distance([1], [2]) == 1


@settings(max_examples=20)
@given(st.lists(st.integers(0, 150_000), min_size=100, max_size=600), st.data())
def test_long_sequences_with_a_few_edits(y, data):
    y_hat = list(y)
    for position in data.draw(st.lists(st.integers(0, len(y) - 1), max_size=5)):
        y_hat[position] = 200_000
    alignment = align(y, y_hat)
    assert apply_edits(y, y_hat, alignment.edits) == y_hat
    assert alignment.distance <= sum(token != other for token, other in zip(y, y_hat, strict=True))


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(65, 900), st.integers(0, 100), st.randoms(use_true_random=False))
def test_a_band_that_is_tried_first_changes_nothing(vocabulary, length, percent, random):
    """Longer than a machine word, where the engine works in bands, and with few tokens in use, where paths tie."""
    y = [random.randrange(vocabulary) for _ in range(length)]
    y_hat = [random.randrange(vocabulary) if random.randrange(100) < percent else token for token in y]
    del y_hat[: random.randrange(20)]
    hinted, distance = align(y, y_hat), edit_distance(y, y_hat)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment_module, "_hint", lambda y: None)
        whole = align(y, y_hat)
        assert distance == edit_distance(y, y_hat) == hinted.distance
    assert hinted.edits == whole.edits
    assert (hinted.error_mask == whole.error_mask).all() and (hinted.repair_mask == whole.repair_mask).all()
