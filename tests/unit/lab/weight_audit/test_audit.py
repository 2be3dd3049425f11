# SPDX-License-Identifier: Apache-2.0
"""`verl-df audit-weights` on the kept toy world, with transformers in the place of vLLM."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.unit.lab.data.support import picture, write_lines
from verl_df.cli import main
from verl_df.lab.explain.rows import Group, make_groups, read_rows
from verl_df.lab.explain.units import open_units
from verl_df.lab.generation import Generator
from verl_df.lab.toy.sampling import Sampler
from verl_df.lab.toy.settings import ToySettings
from verl_df.lab.toy.truth import error_mask
from verl_df.lab.weight_audit.__main__ import add_arguments
from verl_df.lab.weight_audit.batch import audited, sample_batch
from verl_df.lab.weight_audit.figures import MEASURES
from verl_df.lab.weight_audit.passes import Passes
from verl_df.lab.weight_audit.run import audit
from verl_df.lab.weight_audit.settings import BatchSettings
from verl_df.lab.weight_audit.sources import CONTROLS, token_columns
from verl_df.method.group import GroupConfig
from verl_df.token_weights.settings import WeightKind

POLICY, REPAIR = (str(ROOT / "examples/toy/world" / name) for name in ("policy", "repair"))
KINDS = [kind.value for kind in WeightKind if kind is not WeightKind.OFF]


@contextmanager
def opened(model: str) -> Iterator[Generator]:
    yield Sampler(Path(model))


def audited_lines(out: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """The lines of `audit.jsonl` by source."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    page = audit(parser.parse_args(["--policy", POLICY, "--out", str(out), *arguments]), opened)
    assert page == (out / "audit.md").read_text()
    lines = [json.loads(line) for line in (out / "audit.jsonl").read_text().splitlines()]
    return {line["source"]: line for line in lines}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """An audit with the repair model, and its folder."""
    out = tmp_path_factory.mktemp("audit") / "first"
    return out, audited_lines(out, "--repair-model", REPAIR, "--prompts", "6", "--per-prompt", "6")


@pytest.fixture(scope="module")
def groups(first: tuple[Path, dict[str, dict[str, Any]]]) -> list[Group]:
    """The batch of that audit."""
    path = first[0] / "rollouts.jsonl"
    return make_groups(path, read_rows(path), open_units(POLICY, None, ids_only=True), 0)


def test_every_source_is_compared_with_the_truth(first: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    out, lines = first
    assert list(lines) == ["df", *CONTROLS, "sibling", *KINDS, "oracle", "position"]
    facts = json.loads((out / "settings.json").read_text())
    assert 0 < facts["audited"] <= facts["responses"] - facts["right"] and facts["responses"] == 36
    assert all(lines["oracle"][name]["estimate"] == 1 for name in ("auc", "precision", "recall", "share"))
    assert lines["no_gate"]["auc"]["estimate"] == 0.5 and lines["no_gate"]["lift"]["estimate"] == pytest.approx(1)
    # the kept repair model finds most wrong tokens, a random mask of its size does not
    assert lines["df"]["auc"]["low"] > lines["random"]["auc"]["high"]
    assert lines["df"]["auc"]["estimate"] > 0.9
    assert lines["df"]["mass"]["estimate"] == pytest.approx(lines["random"]["mass"]["estimate"])
    assert lines["other_row"]["auc"]["estimate"] < lines["df"]["auc"]["low"]
    for source, line in lines.items():
        assert set(MEASURES) < set(line)
        assert all(line[name] is None or line[name]["responses"] <= facts["audited"] for name in MEASURES), source
    assert all(lines[kind]["seconds"] > 0 and lines[kind]["right_mass"] > 0 for kind in KINDS)
    page = (out / "audit.md").read_text()
    assert all(f"| `{source}` |" in page for source in lines)


def test_the_same_rows_give_the_same_figures(first: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path) -> None:
    out, lines = first
    again = audited_lines(tmp_path / "again", "--rows", str(out / "rollouts.jsonl"))
    assert set(again) == {"sibling", *KINDS, "oracle", "position"}
    for source, line in again.items():
        for name in MEASURES:
            if name != "rank_correlation":  # there is no mask to correlate with
                assert line[name] == lines[source][name], (source, name)


def test_a_batch_is_sampled_with_its_truth(first: tuple[Path, dict[str, dict[str, Any]]], groups: list[Group]) -> None:
    tokenizer = open_units(POLICY, None, ids_only=True)._tokenizer  # type: ignore[attr-defined]
    by_key = {rollout.key: (group, rollout) for group in groups for rollout in group.request.rollouts}
    rows = audited(groups, GroupConfig())
    for row in rows:
        group, rollout = by_key[row.key]
        assert rollout.reward == 0 and any(one.reward == 1 for one in group.request.rollouts)
        assert (error_mask(rollout.token_ids, group.first.extra_info, tokenizer) == row.wrong).all()
    with pytest.raises(ValueError, match="nothing can be compared"):
        audited([group for group in groups if all(one.reward == 1 for one in group.request.rollouts)], GroupConfig())


def test_solutions_of_public_data_are_audited_without_right_siblings(tmp_path: Path) -> None:
    """Rows of `verl-df data spans`: texts, with wrong characters, and one response to each question."""
    (tmp_path / "7.png").write_bytes(picture(7))
    solutions = [
        {
            "image": ["7.png"],
            "question": f"How many in row {number}?",
            "answer": "3",
            "response": {"steps": [f"Row {number} has 3.", "So the answer is 4."], "process_correctness": [1, -1]},
        }
        for number in (1, 2, 3)
    ]
    source = write_lines(tmp_path / "test.jsonl", solutions)
    assert main(["data", "spans", "visualprocessbench", "--from", str(source), "--out", str(tmp_path / "steps")]) == 0
    rows = ["--rows", str(tmp_path / "steps/visualprocessbench.jsonl")]
    with pytest.raises(ValueError, match="--on-no-correct annotated_answer"):
        audited_lines(tmp_path / "refused", *rows)
    lines = audited_lines(tmp_path / "audit", *rows, "--on-no-correct", "annotated_answer")
    assert set(lines) == {"sibling", *KINDS, "oracle", "position"}
    assert all(line["auc"]["responses"] == 3 for line in lines.values())
    assert lines["oracle"]["auc"]["estimate"] == 1 and lines["sibling"]["auc"]["estimate"] == 0.5
    assert "3 prompts, with a right response or without" in (tmp_path / "audit/audit.md").read_text()


def test_a_mask_of_whole_steps_finds_steps_labelled_wrong(tmp_path: Path) -> None:
    """A mask of tokens finds what was edited in them."""
    (tmp_path / "7.png").write_bytes(picture(7))
    solution = {"image": ["7.png"], "question": "How many?", "answer": "3"}
    ends = {-1: "So the answer is 4.", 1: "So the answer is 3."}
    solutions = [
        solution | {"response": {"steps": ["Row 1 has 3.", end], "process_correctness": [1, label]}}
        for label, end in ends.items()
    ]
    source = write_lines(tmp_path / "test.jsonl", solutions)
    assert main(["data", "spans", "visualprocessbench", "--from", str(source), "--out", str(tmp_path / "steps")]) == 0
    rows = ["--rows", str(tmp_path / "steps/visualprocessbench.jsonl")]
    of_steps = ["--level", "step", "--step-separator", "blank_line"]
    tokens, steps = (
        audited_lines(tmp_path / name, *rows, *options)["sibling"]
        for name, options in (("tokens", []), ("of_steps", of_steps))
    )
    assert tokens["share"]["estimate"] == 1 and tokens["recall"]["estimate"] < 0.5
    # the end token belongs to the last step and is not labelled
    assert steps["recall"]["estimate"] > 0.9 and steps["auc"]["estimate"] > 0.9 > tokens["auc"]["estimate"]


def test_passes_score_the_tokens_that_were_sampled(tmp_path: Path) -> None:
    """Of a greedy response every token is the likeliest, and −log p_max is at most the entropy."""

    class Greedy(Sampler):
        def generate(self, requests: Any, **sampling: Any) -> Any:
            return super().generate(requests, **{**sampling, "temperature": 0.0})

    @contextmanager
    def greedy(model: str) -> Iterator[Generator]:
        yield Greedy(Path(model))

    path = sample_batch(tmp_path, POLICY, ToySettings(), BatchSettings(2, 2), greedy, seed=0)
    groups = make_groups(path, read_rows(path), open_units(POLICY, None, ids_only=True), 0)
    passes = Passes(POLICY, groups, tmp_path, seed=0)
    seen, hidden = passes.scores(), passes.scores(1.0)
    for key, log_probs in seen.log_probs.items():
        assert (-log_probs <= seen.entropy[key] + 1e-4).all()
        assert log_probs.sum() > hidden.log_probs[key].sum()
    assert passes.scores(1.0) is hidden
    columns, keys = token_columns(groups, passes, 1.0, 1.0)
    assert columns.blind_log_probs is not None and columns.mask.sum() == sum(map(len, seen.log_probs.values()))
    for row, key in enumerate(keys):
        length = len(seen.log_probs[key])
        assert (columns.log_probs[row, :length] == seen.log_probs[key]).all() and not columns.mask[row, length:].any()
        assert (columns.blind_log_probs[row, :length] == hidden.log_probs[key]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompts", "1"], "--prompts and --per-prompt: 2 or more"),
        (["--rows", "rollouts.jsonl", "--prompts", "4"], "leave them out with --rows"),
    ],
)
def test_bad_options_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit-weights", "--policy", POLICY, "--out", str(tmp_path), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_an_audit_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit.jsonl").write_text("")
    assert main(["audit-weights", "--policy", POLICY, "--out", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
