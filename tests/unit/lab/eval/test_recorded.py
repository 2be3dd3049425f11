# SPDX-License-Identifier: Apache-2.0
"""Runs that were finished before the evaluations had one engine: the same samples, and the same tables to the digit."""

import hashlib
import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.lab.eval import recorded
from tests.unit.lab.eval.support import FakeModel, evaluate, settings
from verl_df.cli import main
from verl_df.lab.eval.repairs.run import run_repairs
from verl_df.lab.eval.repairs.settings import RepairSettings
from verl_df.lab.eval.summary import write_summary
from verl_df.lab.generation import load_processor

FIXTURES = Path(__file__).with_name("fixtures")
COMMANDS = json.loads((FIXTURES / "commands.json").read_text())
BENCHMARKS = ("gspo", "df_1", "df_2", "parts")


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """The finished runs, where their tables are computed: names of folders are relative in them."""
    folder = tmp_path / "runs"
    shutil.copytree(FIXTURES, folder, ignore=shutil.ignore_patterns("out", "evaluation.*", "repair_eval.*"))
    monkeypatch.chdir(folder)
    return folder


def assert_as_recorded(folder: Path, where: str) -> None:
    """Every recorded file of `where` is there again. Numbers: to the last but one digit, for sums in another order."""
    recorded_files = [path for path in (FIXTURES / where).iterdir() if path.suffix in (".md", ".tex", ".json")]
    assert recorded_files
    for path in recorded_files:
        found = (folder / where / path.name).read_text(encoding="utf-8")
        if path.suffix == ".json":
            assert_same(json.loads(found), json.loads(path.read_text(encoding="utf-8")))
        else:
            assert found == path.read_text(encoding="utf-8")


def assert_same(found: object, known: object) -> None:
    if isinstance(known, dict | list):
        assert type(found) is type(known) and len(found) == len(known)
        for key in known if isinstance(known, dict) else range(len(known)):
            assert_same(found[key], known[key])
    elif isinstance(known, float):
        assert found == pytest.approx(known, rel=1e-14, abs=1e-15)
    else:
        assert found == known


@pytest.mark.parametrize("name", ["gspo", "df_1", "parts"])
def test_summaries(runs, name):
    write_summary(Path(name))
    assert_as_recorded(runs, name)


@pytest.mark.parametrize("command", COMMANDS["benchmarks"], ids=lambda command: command[-1])
def test_tables_and_comparisons(runs, command):
    assert main(["eval", *command]) == 0
    assert_as_recorded(runs, command[-1])


def test_repairs(runs):
    assert main(["eval", "repairs", "--from", "repairs_both"]) == 0
    assert_as_recorded(runs, "repairs_both")


@pytest.mark.parametrize("command", COMMANDS["repairs"], ids=lambda command: command[-1])
def test_comparisons_of_repairs(runs, command):
    assert main(["eval", "repairs", *command]) == 0
    assert_as_recorded(runs, command[-1])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_samples_of_benchmarks(name, model, tmp_path):
    given = json.loads((FIXTURES / name / "settings.json").read_text())
    rows = {"mmstar": recorded.mmstar_rows(3 if name == "parts" else 6), "ai2d": recorded.ai2d_rows(3)}
    data = {}
    for key in given["data"]:
        data[key] = tmp_path / f"{key}.parquet"
        pq.write_table(pa.Table.from_pylist(rows[key if key == "mmstar" else "ai2d"]), data[key])
    own = {key: given[key] for key in ("name", "seeds", "seed", "n", "limit", "reward_name")}
    if name == "parts":
        own["reward_path"] = recorded.__file__
    evaluate(tmp_path / "out", FakeModel(recorded.benchmark_answer), settings(data, model, **own))
    for file in ("problems.jsonl", "samples.jsonl"):
        assert (tmp_path / "out" / file).read_bytes() == (FIXTURES / name / file).read_bytes()
    kept = json.loads((tmp_path / "out/settings.json").read_text())
    assert list(kept) == list(given)
    assert {key: kept[key] for key in own.keys() - {"reward_path"}} == {
        key: given[key] for key in own.keys() - {"reward_path"}
    }


def test_samples_of_repairs(model, tmp_path, monkeypatch):
    """Their seeds too: each depends on the place of a response among all that are asked together."""
    monkeypatch.chdir(tmp_path)
    tokenizer = load_processor(str(model)).tokenizer
    pq.write_table(pa.Table.from_pylist(recorded.repair_rows(3, tokenizer)), "tasks.parquet")
    fake = recorded.RepairModel(3, tokenizer)
    Path("model").symlink_to(model)
    given = RepairSettings(
        data="tasks.parquet",
        repair={"stage 1": "model"},
        policy="model",
        greedy=True,
        image_removal="noise",
        seeds=2,
        reward_path="pkg://verl_df.lab.toy.reward",
        truth_path="pkg://verl_df.lab.toy.truth",
    )
    run_repairs(given, Path("repairs_sampled"), lambda _: nullcontext(fake))
    known = json.loads((FIXTURES / "repairs_sampled/digests.json").read_text())
    assert (len(fake.seeds), digest(repr(fake.seeds).encode())) == (known["requests"], known["seeds"])
    assert digest(Path("repairs_sampled/samples.jsonl").read_bytes()) == known["samples"]
    assert digest(Path("repairs_sampled/tasks.jsonl").read_bytes()) == known["tasks"]
    assert main(["eval", "repairs", "--from", "repairs_sampled"]) == 0
    page, old = (folder / "repairs_sampled/repair_eval.md" for folder in (tmp_path, FIXTURES))
    assert page.read_text() == old.read_text()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
