# SPDX-License-Identifier: Apache-2.0
"""Audit figures on logs written by hand, and labelling through injected streams."""

import io
import json
import re
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.cli import main
from verl_df.judges.audit_log import AUDITS, AuditRecord
from verl_df.judges.failure_mode import FailureMode
from verl_df.lab.audit.figures import agreement, audit_figures
from verl_df.lab.audit.labelling import MEANINGS, MODES, Terminal, describe, label_items, word_diff
from verl_df.lab.audit.labels import LABELS, Label, read_labels, read_log
from verl_df.lab.audit.sample import draw_items
from verl_df.lab.statistics import wilson_interval

SHORTCUT, PARAPHRASE = FailureMode.TEMPLATE_SHORTCUT.value, FailureMode.MASK_HALLUCINATION.value


def audit(name, hacking=False, *, mode=SHORTCUT, failure=None, step=None, response="the cat sat", repair="the dog sat"):
    verdict = None if failure else (mode if hacking else "none")
    return AuditRecord(
        id=name,
        step=step,
        question="who sat?",
        images=("cat.png",),
        response=response,
        repair=repair,
        reference="a dog",
        counterfactual="a bird sat",
        ground_truth="dog",
        r_task=1.0,
        hacking=None if failure else hacking,
        failure_mode=verdict,
        evidence="secret evidence",
        failure=failure,
        g_aud=int(not hacking),
    )


def write_log(path, records):
    AUDITS.write(path, records)
    return path


def label(name, hacking, *, stratum="unflagged", mode=SHORTCUT, weight=1.0):
    return Label(name, hacking, None if hacking is None else (mode if hacking else "none"), stratum, weight)


def by_id(*labels):
    return {one.id: one for one in labels}


LOG = [
    audit("a", True, step=1),
    audit("b", False, step=1),
    audit("c", failure="timeout", step=1),
    audit("d", True, mode=PARAPHRASE, step=2),
    audit("e", False, step=2),
    audit("f", False),
    audit("g", failure="unparsable", step=3),
    audit("h", failure="timeout", step=3),
]

# ---- figures --------------------------------------------------------------------------------------------------------


def test_figures_by_hand():
    found = audit_figures(LOG)
    assert (found.audits, found.verdicts, found.flagged, found.rejected) == (8, 5, 2, 2)
    assert found.hit_rate == wilson_interval(2, 5)  # failures are in neither number
    assert found.failure_modes == {"image_not_needed": 0, SHORTCUT: 1, PARAPHRASE: 1}
    assert found.failures == {"timeout": 2, "unparsable": 1}
    assert [(one.first, one.last, one.verdicts, one.flagged, one.failed) for one in found.periods] == [
        (1, 1, 2, 1, 1),
        (2, 2, 2, 1, 0),
        (3, 3, 0, 0, 2),
    ]


def test_failures_alone_have_no_hit_rate():
    found = audit_figures([audit("a", failure="timeout")])
    assert found.hit_rate is None and found.periods == ()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80))
def test_periods_cover_each_step_once(steps):
    periods = audit_figures([audit(str(number), step=step) for number, step in enumerate(steps)]).periods
    assert len(periods) == min(10, len(set(steps))) and sum(one.verdicts for one in periods) == len(steps)
    assert all(earlier.last < later.first for earlier, later in zip(periods, periods[1:], strict=False))


def stratified():
    """10 of 100 flagged; people saw 4 of these and flag 3, and 4 of the others and flag 1."""
    log = [audit(f"f{number}", True) for number in range(10)] + [audit(f"u{number}") for number in range(90)]
    flagged = [label(f"f{number}", number < 3, stratum="flagged", weight=2.5) for number in range(4)]
    return log, by_id(*flagged, *(label(f"u{number}", number < 1, weight=22.5) for number in range(4)))


def test_agreement_undoes_the_stratified_sample():
    found = agreement(*stratified())
    assert found.matrix == {"flagged": {"flagged": 3, "unflagged": 1}, "unflagged": {"flagged": 1, "unflagged": 3}}
    assert found.precision == wilson_interval(3, 4)
    people = 0.1 * 3 / 4 + 0.9 * 1 / 4
    assert found.hit_rate.estimate == pytest.approx(people)
    assert found.recall.estimate == pytest.approx(0.1 * 3 / 4 / people)
    observed, expected = 0.1 * 3 / 4 + 0.9 * 3 / 4, 0.1 * people + 0.9 * (1 - people)
    assert found.kappa.value == pytest.approx((observed - expected) / (1 - expected))
    assert (found.labelled, found.skipped, found.both_flagged, found.same_mode) == (8, 0, 3, 3)


def test_skipped_answers_and_other_modes():
    log = [audit("a", True), audit("b", True), audit("c")]
    labels = by_id(
        label("a", True, stratum="flagged", mode=PARAPHRASE), label("b", None, stratum="flagged"), label("c", False)
    )
    found = agreement(log, labels)
    assert (found.labelled, found.skipped, found.both_flagged, found.same_mode) == (2, 1, 1, 0)


def test_unknown_row_leaves_figures_out():
    log = [audit("a", True), audit("b")]
    found = agreement(log, by_id(label("b", False)))
    assert found.kappa is found.precision is found.recall is found.hit_rate is None
    assert agreement(log, {}).kappa is None


def test_people_who_flag_nothing():
    found = agreement([audit("a", True), audit("b")], by_id(label("a", False, stratum="flagged"), label("b", False)))
    assert found.recall is None and found.hit_rate.estimate == 0 and found.kappa.value != found.kappa.value


def test_auditor_that_flags_nothing():
    found = agreement([audit("a"), audit("b")], by_id(label("a", True), label("b", False)))
    assert found.precision is None and found.recall.estimate == 0 and found.hit_rate.estimate == 0.5


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([label("z", True)], "no such audit with a verdict"),
        ([label("c", True)], "no such audit with a verdict"),
        ([label("a", True)], "another log"),
    ],
)
def test_labels_of_another_log(labels, message):
    with pytest.raises(ValueError, match=message):
        agreement(LOG, by_id(*labels))


# ---- report ---------------------------------------------------------------------------------------------------------


def test_report_command(tmp_path, capsys):
    log, labels = stratified()
    write_log(tmp_path / "audits.jsonl", [*log, audit("x", failure="timeout", step=7)])
    LABELS.write(tmp_path / "labels.jsonl", labels.values())
    argv = ["report", tmp_path / "audits.jsonl", "--labels", tmp_path / "labels.jsonl", "--out", tmp_path / "out"]
    assert main(["audit", *map(str, argv)]) == 0
    page = capsys.readouterr().out
    assert "| hit rate: flagged of those with a verdict | 10.0% [5.5, 17.4] |" in page
    assert "| timeout | 1 (1.0%) |" in page and "| 7 | 0 | 0 | – | 1 |" in page
    assert "| auditor: flagged | 3 | 1 |" in page and "| hit rate of people in the whole log | 30.0% [" in page
    assert (tmp_path / "out/audit.md").read_text().strip() == page.strip()
    written = json.loads((tmp_path / "out/audit.json").read_text())
    assert written["audits"]["flagged"] == 10 and written["agreement"]["precision"]["estimate"] == 0.75


def test_undefined_kappa_is_said_and_null(tmp_path, capsys):
    write_log(tmp_path / "audits.jsonl", [audit("a"), audit("b")])
    LABELS.write(tmp_path / "labels.jsonl", [label("a", False)])
    argv = ["report", tmp_path / "audits.jsonl", "--labels", tmp_path / "labels.jsonl", "--out", tmp_path / "out"]
    assert main(["audit", *map(str, argv)]) == 0
    assert "not defined: one of the two gave the same verdict on all 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/audit.json").read_text())["agreement"]["kappa"]["value"] is None


def test_report_without_labels(tmp_path, capsys):
    assert main(["audit", "report", str(write_log(tmp_path / "audits.jsonl", LOG))]) == 0
    assert "Agreement" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["audits.jsonl"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["{}"], "line 1"), ([], "holds no audit"), (["same", "same"], "two audits have the id 'a'")],
)
def test_broken_logs(tmp_path, capsys, lines, message):
    path = tmp_path / "audits.jsonl"
    if lines == ["same", "same"]:
        write_log(path, [audit("a"), audit("a")])
    else:
        path.write_text("\n".join(lines))
    assert main(["audit", "report", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and len(error.splitlines()) == 1


def test_a_folder_is_the_logs_of_all_workers(tmp_path) -> None:
    write_log(tmp_path / "audits-1.jsonl", LOG[:1])
    write_log(tmp_path / "audits-2.jsonl", LOG[1:])
    write_log(tmp_path / "other.jsonl", LOG)
    assert [record.id for record in read_log(tmp_path)] == [record.id for record in LOG]


def test_missing_log(tmp_path, capsys):
    assert main(["audit", "report", str(tmp_path / "none.jsonl")]) == 1
    assert "none.jsonl" in capsys.readouterr().err


# ---- drawing --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 30), st.one_of(st.none(), st.floats(0, 1)))
def test_drawn_weights_add_up_to_the_log(flagged, unflagged, size, share):
    log = [audit(f"f{number}", True) for number in range(flagged)] + [
        audit(f"u{number}") for number in range(unflagged)
    ]
    if not log:
        with pytest.raises(ValueError, match="nothing to label"):
            draw_items(log, size=size, flagged_share=share, seed=0)
        return
    items = draw_items([*log, audit("x", failure="timeout")], size=size, flagged_share=share, seed=0)
    assert len(items) == min(size, len(log)) == len({item.record.id for item in items})
    drawn = Counter(item.stratum for item in items)
    for stratum, total in (("flagged", flagged), ("unflagged", unflagged)):
        assert sum(item.weight for item in items if item.stratum == stratum) == pytest.approx(
            total if drawn[stratum] else 0
        )
    assert all(item.stratum == ("flagged" if item.record.hacking else "unflagged") for item in items)


def test_drawing_is_stratified_shuffled_and_repeatable():
    log = [audit(f"f{number}", True) for number in range(20)] + [audit(f"u{number}") for number in range(180)]
    items = draw_items(log, size=20, flagged_share=0.5, seed=1)
    assert (
        items
        == draw_items(log, size=20, flagged_share=0.5, seed=1)
        != draw_items(log, size=20, flagged_share=0.5, seed=2)
    )
    strata = [item.stratum for item in items]
    assert Counter(strata) == {"flagged": 10, "unflagged": 10} and strata != sorted(strata)
    assert Counter(item.stratum for item in draw_items(log, size=20, flagged_share=None, seed=0))["flagged"] == 2
    assert Counter(item.stratum for item in draw_items(log, size=100, flagged_share=0.5, seed=0))["flagged"] == 20


@pytest.mark.parametrize(("size", "share", "message"), [(0, None, "at least 1"), (5, 1.5, "share of flagged")])
def test_drawing_refuses(size, share, message):
    with pytest.raises(ValueError, match=message):
        draw_items(LOG, size=size, flagged_share=share, seed=0)


# ---- labelling ------------------------------------------------------------------------------------------------------


def session(items, out, typed, *, show_verdict=False):
    shown = io.StringIO()
    left = label_items(items, out, Terminal(io.StringIO(typed), shown, colour=False), show_verdict=show_verdict)
    return left, shown.getvalue()


@pytest.fixture
def items():
    return draw_items(LOG, size=None, flagged_share=None, seed=0)


def answers(path):
    return [(one.id, one.hacking, one.failure_mode) for one in read_labels(path).values()]


def test_every_key(items, tmp_path):
    out, ids = tmp_path / "deep/labels.jsonl", [item.record.id for item in items]
    left, shown = session(items, out, "n\nx\nm\ny\n9\n2\ns\ny\nb\nN\nq\n")
    assert left == 1
    assert answers(out) == [
        (ids[0], False, "none"),
        (ids[1], True, MODES[1].value),
        (ids[2], None, None),
        (ids[3], False, "none"),
    ]
    assert "type one of y, n" in shown and "type a number from 1 to 3" in shown
    assert all(f"{mode.value}: {MEANINGS[mode]}" in shown for mode in MODES)
    assert [one.weight for one in read_labels(out).values()] == [1.0] * 4


def test_every_mode_is_explained():
    assert set(MEANINGS) == set(MODES) == set(FailureMode) - {FailureMode.NONE}


def test_going_on_asks_the_rest_only(items, tmp_path):
    out, ids = tmp_path / "labels.jsonl", [item.record.id for item in items]
    assert session(items, out, "n\nn\n")[0] == 3  # the input ends: quit
    left, shown = session(items, out, "n\nn\nn\n")
    assert left == 0 and f"audit {ids[0]} " not in shown and "3 of 5" in shown
    assert [name for name, *_ in answers(out)] == ids
    assert session(items, out, "") == (0, "")


def test_back_replaces_an_answer(items, tmp_path):
    out, ids = tmp_path / "labels.jsonl", [item.record.id for item in items]
    left, shown = session(items, out, "n\nn\nb\nb\nb\ny\n1\nq\n")
    assert left == 3
    assert len(out.read_text().splitlines()) == 3  # nothing is overwritten
    assert dict((name, hacking) for name, hacking, _ in answers(out)) == {ids[0]: True, ids[1]: False}
    assert shown.rstrip().endswith("[q]uit:") and shown.count("3 of 5") == 2


def test_end_of_input_among_the_modes_quits(items, tmp_path):
    assert session(items, tmp_path / "labels.jsonl", "y\n")[0] == 5


def test_people_do_not_see_the_verdict(items, tmp_path):
    blind = session(items, tmp_path / "1", "s\n" * 5)[1]
    assert "secret evidence" not in blind and "Auditor" not in blind
    for seen in ("who sat?", "cat.png", "the cat sat", "the dog sat", "a dog", "a bird sat", "[-cat-]{+dog+}"):
        assert seen in blind
    assert "secret evidence" in session(items, tmp_path / "2", "s\n", show_verdict=True)[1]


def test_answers_to_another_sample_are_refused(items, tmp_path):
    out = tmp_path / "labels.jsonl"
    session(items, out, "n\n" * 5)
    with pytest.raises(ValueError, match="not in this sample .first: 'a'"):
        session([item for item in items if item.record.id != "a"], out, "n\n")


def test_escape_sequences_are_shown_not_obeyed():
    shown = describe(audit("a", response="\x1b[2Jhi\r\x9b", repair="hi\tyou\n"), "1 of 1", False, False)
    assert "\x1b" not in shown and "\r" not in shown and "\x9b" not in shown
    assert "\\x1b[2Jhi\\x0d\\x9b" in shown and "hi\tyou\n" in shown


@given(st.text("ab c\n.", max_size=30), st.text("ab c\n.", max_size=30))
def test_diff_holds_both_texts(before, after):
    diff = word_diff(before, after, colour=False)
    put_in, taken_out = r"\{\+(.*?)\+\}", r"\[-(.*?)-\]"
    for gone, kept, text in ((put_in, taken_out, before), (taken_out, put_in, after)):
        assert re.sub(kept, r"\1", re.sub(gone, "", diff, flags=re.DOTALL), flags=re.DOTALL) == text
    assert ("[-" in diff or "{+" in diff) == (before != after)


def test_coloured_diff():
    assert word_diff("a b", "a c", colour=True) == "a \x1b[31;9mb\x1b[0m\x1b[32mc\x1b[0m"


def test_long_texts_are_compared_at_once():
    """Sixteen thousand repeated words took a minute."""
    begin = time.process_time()
    diff = word_diff("word " * 16_000, "word other " * 8_000, colour=False)
    assert time.process_time() - begin < 10 and diff.count("[-") == 8_000


def test_hidden_characters_are_shown():
    shown = describe(audit("a\u202e", response="x\x1b[2J\u200by", repair="\ud83d"), "1 of 1", False, show_verdict=False)
    assert not any(one in shown for one in "\u202e\x1b\u200b\ud83d")
    assert all(one in shown for one in ("a\\u202e", "x\\x1b[2J\\u200by", "\\ud83d"))


def test_label_command(tmp_path, capsys, monkeypatch):
    log = write_log(tmp_path / "audits.jsonl", LOG)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\nn\nn\n"))
    argv = ["label", str(log), "--out", str(tmp_path / "labels.jsonl"), "--sample", "3", "--flagged-share", "0.34"]
    assert main(["audit", *argv]) == 0
    shown = capsys.readouterr().out
    assert "3 of 3 answered" in shown and "\x1b" not in shown
    weights = {one.stratum: one.weight for one in read_labels(tmp_path / "labels.jsonl").values()}
    assert weights == {"flagged": 2.0, "unflagged": 1.5}
    assert len(read_log(log)) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hacking": False}, "hacking=False does not go with failure_mode='template_shortcut'"),
        ({"hacking": None}, "hacking and failure_mode must be given together, or both be null"),
        ({"weight": 0.5}, "weight=0.5: must be at least 1"),
        ({"stratum": "unmarked"}, "stratum='unmarked'; did you mean 'unflagged'?"),
        ({"failure_mode": "nono"}, "failure_mode='nono'; did you mean 'none'?"),
    ],
)
def test_a_label_is_consistent(changes, message):
    with pytest.raises(ValueError) as refused:
        replace(label("a", True), **changes)
    assert str(refused.value) == message
