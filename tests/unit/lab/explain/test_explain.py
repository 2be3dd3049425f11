# SPDX-License-Identifier: Apache-2.0
"""`verl-df explain`."""

import io
import json
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests import ROOT
from verl_df.cli import main
from verl_df.lab.explain.feedback import plan_groups
from verl_df.lab.explain.rows import RolloutRow, make_groups, read_rows
from verl_df.lab.explain.sampling import Sampling, sample_repairs
from verl_df.lab.explain.summary import summary_lines
from verl_df.lab.explain.units import Pieces, open_units
from verl_df.lab.generation import Request, Response
from verl_df.lab.toy.truth import error_mask, exact_repair_ids
from verl_df.method.feedback import FeedbackConfig
from verl_df.method.metrics import aggregate
from verl_df.method.records import PAIRS, PairRecord

WORLD = str(ROOT / "examples/toy/world/policy")
RIGHT = {"uid": "a", "reward": 1, "response": "x = 2"}
WRONG = {"uid": "a", "reward": 0, "response": "x = 3"}
REPAIRED = WRONG | {"repair": "x = 2", "repair_reward": 1}


def written(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def explained(folder: Path, *arguments: str) -> tuple[list[PairRecord], dict[str, float]]:
    """Pairs and figures that a call writes."""
    out = folder / "out"
    assert main(["explain", *arguments, "--out", str(out)]) == 0
    return list(PAIRS.read(out / "pairs.jsonl")), json.loads((out / "metrics.jsonl").read_text())["data"]


@pytest.fixture(scope="module")
def toy_rows() -> list[dict[str, Any]]:
    """Wrong responses of the toy's repair tasks with exact repairs and true masks, and a right sibling for each."""
    import pandas

    units = open_units(WORLD, None, ids_only=True)
    tokenizer = units._tokenizer  # type: ignore[attr-defined]
    rows: list[dict[str, Any]] = []
    for number, row in pandas.read_parquet(ROOT / "examples/toy/world/repair_tasks/val.parquet").head(8).iterrows():
        task, truth = row["repair_task"], row["reward_model"]["ground_truth"]
        ids = task["response_ids"].tolist()
        own = {"uid": str(number), "ground_truth": truth, "data_source": row["data_source"]}
        mask = error_mask(ids, row["extra_info"], tokenizer)
        known = {} if mask is None else {"truth_mask": mask.astype(int).tolist()}
        exact = exact_repair_ids(ids, row["extra_info"], tokenizer)
        repair = {} if exact is None else {"repair_token_ids": list(exact), "repair_reward": 1}
        rows += [own | {"token_ids": ids, "reward": 0} | known | repair]
        rows += [own | {"response": task["reference"], "reward": 1}]
    return rows


def test_exact_repairs_of_the_toy_give_the_true_masks(tmp_path: Path, toy_rows: list[dict[str, Any]]) -> None:
    path = written(tmp_path / "rows.jsonl", *toy_rows)
    pairs, metrics = explained(tmp_path, path, "--tokenizer", WORLD)
    known = [row for row in toy_rows if "repair_token_ids" in row]
    assert len(known) >= 4 and metrics["df/repaired"] == len(known) and metrics["df/asked"] == 8
    assert metrics["df/mask_truth/precision"] == metrics["df/mask_truth/recall"] == 1
    assert metrics["df/error_rate"] == 0.5
    for pair, row in zip([pair for pair in pairs if pair.repair], known, strict=True):
        assert pair.uid == row["uid"] and list(pair.error.mask) == row["truth_mask"] == list(pair.truth_mask)
        assert list(pair.error.token_ids) == row["token_ids"] and "".join(pair.error.tokens).endswith("<|im_end|>")


def test_siblings_are_the_nearest_right_rollouts(tmp_path: Path, toy_rows: list[dict[str, Any]]) -> None:
    path = written(tmp_path / "rows.jsonl", *toy_rows)
    pairs, metrics = explained(tmp_path, path, "--tokenizer", WORLD, "--repairs", "sibling", "--kind", "soft")
    assert metrics["df/repair_feasible_rate"] == 1 and metrics["df/candidates"] == 8
    for pair, row in zip(pairs, toy_rows[1::2], strict=True):
        assert "".join(pair.repair.tokens) == f"{row['response']}<|im_end|>" and pair.reference == row["response"]


def test_a_reward_function_judges_given_repairs(tmp_path: Path, toy_rows: list[dict[str, Any]]) -> None:
    unjudged = [{key: value for key, value in row.items() if key != "repair_reward"} for row in toy_rows]
    path = written(tmp_path / "rows.jsonl", *unjudged)
    reward = ["--reward-path", "pkg://verl_df.lab.toy.reward"]
    _, metrics = explained(tmp_path, path, "--tokenizer", WORLD, *reward)
    assert metrics["df/repaired"] == sum("repair_token_ids" in row for row in toy_rows)


def test_a_response_without_any_token_can_be_repaired(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", RIGHT, REPAIRED | {"response": ""})
    (pair,), metrics = explained(tmp_path, path)
    assert metrics["df/repaired"] == 1 and len(pair.error.mask) == 0


def test_the_report_shows_the_pairs_with_their_pictures(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "x.png")
    shown = {"prompt": "<image>What is x?", "images": ["x.png"]}
    path = written(tmp_path / "rows.jsonl", RIGHT | shown, REPAIRED | shown)
    (pair,), _ = explained(tmp_path, path)
    assert (tmp_path / "out/images" / pair.images[0]).is_file() and pair.prompt == shown["prompt"]
    assert main(["report", "--run", str(tmp_path / "out")]) == 0
    assert "data:image/png;base64," in (tmp_path / "out/report.html").read_text()


def test_results_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "rows.jsonl", RIGHT, REPAIRED)
    explained(tmp_path, path)
    assert main(["explain", path, "--out", str(tmp_path / "out")]) == 1
    assert "pairs.jsonl is there already" in capsys.readouterr().err


def test_what_the_terminal_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = REPAIRED | {"response": "x = \x1b[31m3\u202e"}
    path = written(tmp_path / "rows.jsonl", RIGHT, hidden, WRONG, WRONG)
    assert main(["explain", path, "--show", "2"]) == 0
    told = capsys.readouterr().out
    assert "--- line 2, a: reward 0, reference sibling; edit distance" in told
    assert r"\x1b▏[▏31m3▏\u202e" in told and "\x1b" not in told and "\u202e" not in told
    assert "--- line 3, a: reward 0, reference sibling; no repair: no candidate\n" in told
    assert "... and 1 more pairs (--show N)" in told


def test_the_summary_leaves_out_what_did_not_happen() -> None:
    lines = summary_lines(aggregate([]))
    assert not any(line.startswith(("prompts skipped", "candidates rejected")) for line in lines)
    assert [line.split()[-1] for line in lines if line.startswith(("prompts ", "empty masks"))] == ["0", "0"]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([RIGHT, WRONG], [], "no row has a 'repair': give --repairs sibling"),
        ([], [], "has no rows"),
        ([RIGHT, {"uid": "a", "reward": 2, "response": ""}], [], "line 2: reward=2: must be at most 1"),
        ([RIGHT, {"uid": "a", "response": ""}], [], "line 2: missing key 'reward'"),
        ([RIGHT, {"uid": "a", "reward": 1}], [], "line 2: give either 'response', a text, or 'token_ids'"),
        ([RIGHT, REPAIRED | {"respones": ""}], [], "line 2: unknown key 'respones'; did you mean 'response'?"),
        ([RIGHT, REPAIRED | {"ground_truth": "2"}], [], "line 2: 'ground_truth' differs from that of line 1"),
        ([RIGHT, REPAIRED | {"truth_mask": [1]}], [], "line 2: 'truth_mask' has 1 entries for 3 tokens"),
        ([RIGHT, REPAIRED | {"response": None, "token_ids": [1]}], [], "line 2: token ids beside texts"),
        ([RIGHT, REPAIRED | {"images": ["x.png"]}], [], "line 2: 0 <image> markers in 'prompt' for 1 images"),
        ([REPAIRED | {"prompt": "<image>", "images": ["../x.png"]}], [], "line 1: '../x.png' is not inside"),
        ([REPAIRED | {"prompt": "<image>", "images": ["x.png"]}], [], "line 1: "),
        ([RIGHT, WRONG | {"repair": "x = 2"}], [], "line 2: the reward of its repair is not known"),
        ([RIGHT, REPAIRED, REPAIRED | {"repair_reward": 0}], [], "line 3: 'repair_reward' is 0.0, and 1.0 in another"),
        ([RIGHT, REPAIRED], ["--on-no-correct", "skip", "--mode", "off"], "--mode off repairs and aligns nothing"),
        ([REPAIRED], ["--on-no-correct", "annotated_answer"], "line 1: prompt 'a': no rollout is correct"),
        ([RIGHT, REPAIRED], ["--reference", "preferred"], "line 1: prompt 'a': reference='preferred'"),
        ([RIGHT, REPAIRED], ["--samples", "3"], "--samples has no effect without --repair-model"),
        ([RIGHT, WRONG], ["--repair-model", WORLD], "line 2: the reward of its repair is not known"),
        ([RIGHT, WRONG], ["--repair-model", WORLD, "--tokenizer", WORLD], "leave out --tokenizer and --repairs"),
    ],
)
def test_bad_input_is_one_line(rows, options, said, capsys, tmp_path: Path) -> None:
    assert main(["explain", written(tmp_path / "rows.jsonl", *rows), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


VALUES = st.sampled_from(
    [None, True, 1, -1, 0.5, float("nan"), 10**30, "", "x = 2", "\ud83d", "\u202e", [], [1], [-1], ["a"], {"a": 1}]
)


@given(
    changes=st.dictionaries(st.sampled_from([*RolloutRow.__dataclass_fields__, "zz"]), VALUES, min_size=1, max_size=3),
    options=st.sampled_from([[], ["--repairs", "sibling"], ["--level", "step", "--kind", "soft"]]),
)
def test_any_row_is_explained_or_refused_in_one_line(changes: dict[str, Any], options: list[str]) -> None:
    said, told = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(said), redirect_stdout(told):
        path = written(Path(folder) / "rows.jsonl", RIGHT, REPAIRED | changes)
        code = main(["explain", path, "--out", f"{folder}/out", *options])
    if code:
        (line,) = said.getvalue().splitlines()
        assert code == 1 and line.startswith("error: ") and not told.getvalue()
    else:
        assert told.getvalue().encode() and not said.getvalue()  # no half of a surrogate pair


class Echo:
    """A repair model that answers with the number of its request."""

    patch_size = 14

    def __init__(self, units: Pieces) -> None:
        self.units = units
        self.asked: list[Request] = []

    def __enter__(self) -> "Echo":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def generate(self, requests: Sequence[Request], *, n: int, **decoding: Any) -> list[list[Response]]:
        self.asked += requests
        texts = [[f"x = {request.number}" for _ in range(n)] for request in requests]
        return [[Response(self.units.encode(text), text, True) for text in own] for own in texts]

    def failures(self) -> str:
        return ""


def test_a_repair_model_is_asked_as_in_training(tmp_path: Path) -> None:
    """Every wrong rollout of a group that is not skipped, with the reference of its plan; numbered over all groups."""
    path = tmp_path / "rows.jsonl"
    written(path, RIGHT, WRONG, WRONG | {"uid": "skipped"}, RIGHT | {"uid": "b"}, WRONG | {"uid": "b", "response": "y"})
    units = Pieces("words")
    groups = make_groups(path, read_rows(path), units, 0)
    plans, model = plan_groups(groups, FeedbackConfig()), Echo(units)
    options: dict[str, Any] = {"placeholders": frozenset(units.encode("1")), "folder": tmp_path, "template": None}
    found = sample_repairs(
        groups, plans, Sampling(samples=3), decode=units.decode, open_generator=lambda: model, seed=0, **options
    )
    assert [
        {key: [units.decode(one.token_ids) for one in own] for key, own in one.samples.items()} for one in found
    ] == [
        {"000000002": ["x = 0"] * 3},
        {},
        {"000000005": ["x = 1"] * 3},
    ]
    first, second = (request.messages[-1]["content"] for request in model.asked)
    assert "x = 3" in first and "x = 2" in first and "y" in second and "x = 2" in second
