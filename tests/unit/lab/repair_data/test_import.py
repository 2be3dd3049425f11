# SPDX-License-Identifier: Apache-2.0
"""Annotations: what is refused, line by line, and what becomes of the good ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lab.repair_data.support import BoxReward, make_set, right, usual, wrong
from verl_df.lab.repair_data.annotations import ANNOTATIONS, export_jsonl, write_targets
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.imports import BrokenAnnotations, ImportReport, Place, import_annotations
from verl_df.lab.repair_data.records import RepairSample, read_samples
from verl_df.lab.repair_data.targets import TargetChecker, line_ends_as_in
from verl_df.method.alignment import edit_distance


@pytest.fixture
def folder(tmp_path: Path, tokenizer) -> SetFolder:
    """12 samples with the tokenizer's own tokens."""
    return make_set(
        tmp_path, encode=lambda text: tokenizer.encode(text, add_special_tokens=False), end=tokenizer.eos_token_id
    )


def repaired(sample: RepairSample) -> str:
    """The response with the right number in the box."""
    return f"{sample.response.split('{')[0]}{{{sample.ground_truth}}}"


def annotate(folder: SetFolder, change: Callable[[int, dict[str, Any]], dict[str, Any] | str] = lambda _, row: row):
    """A file with a good annotation for each sample, each passed through `change`."""
    path = folder.root / "annotations.jsonl"
    rows = [
        change(number, {"id": sample.id, "target": repaired(sample), "skip": False, "note": ""})
        for number, sample in enumerate(read_samples(folder.samples))
    ]
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def run(folder: SetFolder, tokenizer, *files: Path, skip_broken: bool = False, **rules: Any) -> ImportReport:
    checker = TargetChecker(tokenizer, **{"max_tokens": 64, **rules})
    return import_annotations(folder, files, checker, BoxReward(), out=folder.repairs, skip_broken=skip_broken)


def test_good_annotations_become_repairs(folder: SetFolder, tokenizer) -> None:
    report = run(folder, tokenizer, annotate(folder))
    samples, repairs = list(read_samples(folder.samples)), list(read_samples(folder.repairs))
    assert [one.id for one in repairs] == [one.id for one in samples]
    assert [one.target for one in repairs] == [repaired(one) for one in samples]
    assert (report.good, report.skipped, report.open, report.broken) == (12, 0, 0, {})
    # one digit of the response changes, whatever else is a token
    assert report.ratios == [1 / len(one.response_ids) for one in samples]
    assert report.lines()[1].startswith("edit ratio: median 0.")
    assert not folder.rejected.exists()


def test_the_edit_ratio_counts_tokens_with_the_end_token(folder: SetFolder, tokenizer) -> None:
    checker = TargetChecker(tokenizer, 64)
    sample = next(read_samples(folder.samples))
    target = "I do count \\boxed{0}"
    ids = [*tokenizer.encode(target, add_special_tokens=False), tokenizer.eos_token_id]
    expected = edit_distance(sample.response_ids, ids) / len(sample.response_ids)
    assert checker.edit_ratio(sample, target) == expected > 0
    assert checker.edit_ratio(sample, sample.response) == 0


def test_skipped_and_open_lines_are_counted_and_not_written(folder: SetFolder, tokenizer) -> None:
    changes = {0: {"skip": True, "target": None, "note": "unclear"}, 1: {"target": None}, 2: {"skip": True}}
    report = run(folder, tokenizer, annotate(folder, lambda number, row: {**row, **changes.get(number, {})}))
    assert (report.good, report.skipped, report.open, report.broken) == (9, 2, 1, {})
    assert len(list(read_samples(folder.repairs))) == 9


BROKEN = [
    ({"id": "0123456789abcdef"}, "unknown id"),
    ({"target": wrong(2)}, "equals the wrong response"),
    ({"target": ""}, "the target is empty"),
    ({"target": " \n"}, "the target is empty"),
    ({"target": "I count \\boxed{77}"}, "the target's answer is not right: r_task is 0, not 1"),
    ({"target": "no box"}, "the target's answer is not right"),
    ({"target": "<image> \\boxed{2}"}, "holds the marker <image>"),
    ({"target": "<video> \\boxed{2}"}, "holds the marker <video>"),
    ({"target": "<|image_pad|> \\boxed{2}"}, "holds the special token <|image_pad|>"),
    ({"target": "\\boxed{2}<|im_end|>"}, "holds the special token <|im_end|>"),
    ({"target": "so " * 70 + "\\boxed{2}"}, "tokens, the limit is 64 (--max-tokens)"),
    ({"target": 3}, "target: expected str or null, got 3"),
    ({"taget": "x"}, "unknown key 'taget'; did you mean 'target'"),
]


@pytest.mark.parametrize(("change", "reason"), BROKEN)
def test_a_broken_line_is_named_and_nothing_is_written(folder: SetFolder, tokenizer, change, reason: str) -> None:
    # sample 4 is of row 2, whose answer is 2
    path = annotate(folder, lambda number, row: {**row, **change} if number == 4 else row)
    folder.repairs.write_text("from before\n")
    with pytest.raises(BrokenAnnotations, match="1 line is broken, nothing was written") as refused:
        run(folder, tokenizer, path)
    (line,) = refused.value.report.broken_lines()
    assert line.startswith(f"{path}, line 5: ") and reason in line
    assert folder.repairs.read_text() == "from before\n"
    assert not list(folder.root.glob("*.partial")) and not folder.rejected.exists()


@pytest.mark.parametrize("line", ["{half", "[1]", '{"id": "a"}', "\udcff"])
def test_lines_that_are_no_annotation(folder: SetFolder, tokenizer, line: str) -> None:
    path = annotate(folder)
    path.write_bytes(b"\n" + line.encode("utf-8", "surrogateescape") + b"\n" + path.read_bytes())
    with pytest.raises(BrokenAnnotations) as refused:
        run(folder, tokenizer, path)
    assert list(refused.value.report.broken) == [Place(0, 2)], "empty lines count, but say nothing"


def test_an_id_may_occur_once_in_all_files(folder: SetFolder, tokenizer) -> None:
    path = annotate(folder)
    other = folder.root / "other.jsonl"
    other.write_text(path.read_text().splitlines()[3] + "\n")
    with pytest.raises(BrokenAnnotations) as refused:
        run(folder, tokenizer, path, other)
    (line,) = refused.value.report.broken_lines()
    assert line.startswith(f"{other}, line 1: ") and line.endswith(f"is there already, in {path}, line 4")
    assert run(folder, tokenizer, path, other, skip_broken=True).good == 12


def test_broken_lines_are_left_out_and_kept_with_their_reasons(folder: SetFolder, tokenizer) -> None:
    changes: dict[int, Any] = {1: {"target": "\\boxed{9}"}, 3: {"target": ""}}
    path = annotate(folder, lambda number, row: "{half" if number == 7 else {**row, **changes.get(number, {})})
    report = run(folder, tokenizer, path, skip_broken=True)
    assert report.good == 9 == len(list(read_samples(folder.repairs)))
    rejected = [json.loads(line) for line in folder.rejected.read_text().splitlines()]
    assert [row["line"] for row in rejected] == [2, 4, 8]
    assert rejected[2]["text"] == "{half" and rejected[0]["reason"].startswith("the target's answer is not right")
    assert [row["text"] for row in rejected] == [path.read_text().splitlines()[line] for line in (1, 3, 7)]
    run(folder, tokenizer, annotate(folder))
    assert not folder.rejected.exists(), "a clean import leaves no old refusals behind"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_are_those_of_the_response(tokenizer, tmp_path: Path, end: str) -> None:
    def answers(index: int, blank: bool) -> list[str]:
        return [f"so\nit is\n{text}" for text in usual(index, blank)]

    encode = {"encode": lambda text: tokenizer.encode(text, add_special_tokens=False), "end": tokenizer.eos_token_id}
    folder = make_set(tmp_path, answers, **encode)
    expected = run(folder, tokenizer, annotate(folder)).ratios
    changed = annotate(folder, lambda _, row: row | {"target": row["target"].replace("\n", end)})
    assert run(folder, tokenizer, changed).ratios == expected
    assert all("\r" not in (one.target or "") for one in read_samples(folder.repairs))
    assert line_ends_as_in("a\r\nb", f"a{end}c") == f"a{end}c"


def test_a_byte_order_mark_is_passed_over(folder: SetFolder, tokenizer) -> None:
    path = annotate(folder)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run(folder, tokenizer, path).good == 12


def test_a_limit_on_the_edit_ratio(folder: SetFolder, tokenizer) -> None:
    ratios = run(folder, tokenizer, annotate(folder), max_edit_ratio=0.5).ratios
    with pytest.raises(BrokenAnnotations) as refused:
        run(folder, tokenizer, annotate(folder), max_edit_ratio=min(ratios) * 0.99)
    assert all("(--max-edit-ratio)" in reason for reason in refused.value.report.broken.values())
    assert len(refused.value.report.broken) == 12
    assert run(folder, tokenizer, annotate(folder), max_edit_ratio=max(ratios)).good == 12


def test_the_longest_target_counts_its_end_token(folder: SetFolder, tokenizer) -> None:
    path = annotate(folder)
    lengths = [len(tokenizer.encode(repaired(one), add_special_tokens=False)) for one in read_samples(folder.samples)]
    assert run(folder, tokenizer, path, max_tokens=max(lengths) + 1).good == 12
    with pytest.raises(BrokenAnnotations):
        run(folder, tokenizer, path, max_tokens=max(lengths))


# ---- lines to fill in, and computed targets --------------------------------------------------------------------------


def test_exported_lines_can_be_filled_in_and_imported(folder: SetFolder, tokenizer) -> None:
    out = folder.root / "to_annotate.jsonl"
    samples = {one.id: one for one in read_samples(folder.samples)}
    assert export_jsonl(folder, out) == 12
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(row["response"] == samples[row["id"]].response and row["target"] is None for row in rows)
    assert run(folder, tokenizer, out).open == 12
    for row in rows[:5]:
        row["target"] = repaired(samples[row["id"]])
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run(folder, tokenizer, out)
    assert (report.good, report.open) == (5, 7)
    assert export_jsonl(folder, out, set(list(samples)[:3])) == 3


def test_targets_can_be_computed(folder: SetFolder, tokenizer) -> None:
    def compute(response: str, extra_info: dict[str, Any]) -> str | None:
        return None if extra_info["index"] == 3 else right(extra_info["index"], "thus" if "thus" in response else "so")

    out = folder.root / "annotations.jsonl"
    assert write_targets(folder, out, compute) == {"written": 10, "skipped": 2}
    report = run(folder, tokenizer, out)
    assert (report.good, report.skipped) == (10, 2)
    assert {one.prompt_index for one in read_samples(folder.repairs)} == {0, 1, 2, 4, 5}


def test_a_function_that_fails_leaves_no_file(folder: SetFolder) -> None:
    out = folder.root / "annotations.jsonl"

    def fail(response: str, extra_info: dict[str, Any]) -> str:
        raise ValueError("no grid")

    with pytest.raises(ValueError, match=r"sample [0-9a-f]{16} \(row 0\): no grid"):
        write_targets(folder, out, fail)
    with pytest.raises(ValueError, match="the function returned 3, not a text or None"):
        write_targets(folder, out, lambda response, extra_info: 3)
    assert not out.exists()


def test_an_annotation_needs_no_skip_and_no_note() -> None:
    annotation = ANNOTATIONS.load('{"id": "a", "target": "b"}')
    assert (annotation.skip, annotation.note) == (False, "")
