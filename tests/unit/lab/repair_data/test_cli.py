# SPDX-License-Identifier: Apache-2.0
"""The commands one after the other, with a policy that says what it is told to, and what they refuse."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.lab.repair_data.support import REWARD, ScriptedPolicy, row, usual, write_data
from verl_df.cli import main
from verl_df.io.lock import only_writer
from verl_df.lab.repair_data import commands
from verl_df.lab.repair_data.records import read_samples

COMPUTED = """
from pathlib import Path

def repair(response, extra_info):
    return response.split("{")[0] + "{" + str(extra_info["index"]) + "}"

def other(response, extra_info):
    return "no answer"
"""


@pytest.fixture
def here(tmp_path: Path, tokenizer, monkeypatch) -> Path:
    """A working folder with data; the engine is replaced, and its arguments are kept in `engines`."""

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    class Engine(ScriptedPolicy):
        made: list[tuple[str, dict]] = []

        def __init__(self, model: str, **options) -> None:
            super().__init__(usual, encode, tokenizer.eos_token_id)
            self.made.append((model, options))

        def __enter__(self):
            return self

        def __exit__(self, *exception) -> None:
            pass

    monkeypatch.setattr(commands, "VLLMGenerator", Engine)
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "train.parquet", [row(index) for index in range(6)])
    (tmp_path / "computed.py").write_text(COMPUTED)
    return tmp_path


def sample(policy: Path, *more: str) -> int:
    fixed = ["--model", str(policy), "--data", "train.parquet", "--out", "set", "--reward-path", REWARD]
    return main(
        ["repair-data", "sample", *fixed, "--per-prompt", "4", "--text-only-samples", "2", "--max-tokens", "64", *more]
    )


def test_from_a_policy_to_verls_files(here: Path, policy_folder: Path, capsys) -> None:
    assert sample(policy_folder, "--engine", "enforce_eager=true", "--engine", "quantization=fp8") == 0
    engine = {"max_model_len": None, "dtype": "auto", "enforce_eager": True, "quantization": "fp8"}
    assert commands.VLLMGenerator.made[-1] == (str(policy_folder), engine)
    assert "kept                     12" in capsys.readouterr().out
    assert main(["repair-data", "export", "set"]) == 0 and (here / "set/forms/form_001.html").is_file()
    assert main(["repair-data", "export", "set", "--format", "jsonl", "--count", "5"]) == 0
    assert len((here / "set/to_annotate.jsonl").read_text().splitlines()) == 5
    assert main(["repair-data", "targets", "set", "--function", "computed.py:repair"]) == 0
    assert main(["repair-data", "import", "set", "set/annotations.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "12 good, 0 skipped, 0 not annotated, 0 broken" in told and "edit ratio: median" in told
    outputs = ["--out-sft", "sft.parquet", "--out-rl", "rl.parquet", "--held-out", "0.34", "--out-val", "val.parquet"]
    assert main(["repair-data", "parquet", "set", *outputs]) == 0
    assert "wrote sft.parquet: 8 rows" in capsys.readouterr().out
    tables = {name: pq.read_table(f"{name}.parquet").to_pylist() for name in ("sft", "rl", "val")}
    assert {name: len(rows) for name, rows in tables.items()} == {"sft": 8, "rl": 8, "val": 4}
    train, held = ({one["prompt"][0]["content"] for one in tables[name]} for name in ("rl", "val"))
    assert not train & held and len(train | held) == 6
    assert all(any(question in one["messages"][0]["content"] for question in train) for one in tables["sft"])
    assert main(["repair-data", "parquet", "set", "--out-rl", "all.parquet", "--seed", "3"]) == 0
    assert pq.read_metadata("all.parquet").num_rows == 12


def test_preferred_responses_as_references(here: Path, policy_folder: Path) -> None:
    rows = [row(index, extra_info={"index": index, "preferred_response": f"it is {index}"}) for index in range(6)]
    write_data(here / "train.parquet", rows)
    assert sample(policy_folder, "--reference", "preferred") == 0
    samples = list(read_samples(here / "set/samples.jsonl"))
    assert len(samples) == 12
    assert all((one.reference, one.reference_kind) == (f"it is {one.prompt_index}", "preferred") for one in samples)
    assert main(["repair-data", "parquet", "set", "--out-rl", "rl.parquet"]) == 0
    tasks = pq.read_table("rl.parquet").column("repair_task").to_pylist()
    assert {task["reference_kind"] for task in tasks} == {"preferred"}


def test_a_row_without_preferred_response_is_refused_before_anything_is_sampled(
    here: Path, policy_folder: Path, capsys
) -> None:
    assert sample(policy_folder, "--reference", "preferred") == 1
    assert "train.parquet, row 0: extra_info.preferred_response is missing" in capsys.readouterr().err
    assert (here / "set/samples.jsonl").read_text() == ""


def test_a_template_of_ones_own(here: Path, policy_folder: Path, capsys) -> None:
    sample(policy_folder)
    main(["repair-data", "targets", "set", "--function", "computed.py:repair"])
    main(["repair-data", "import", "set", "set/annotations.jsonl"])
    (here / "mine.txt").write_text("{question}: {response} / {reference}")
    assert main(["repair-data", "parquet", "set", "--out-sft", "sft.parquet", "--template", "mine.txt"]) == 0
    first = next(read_samples(here / "set/repairs.jsonl"))
    content = pq.read_table("sft.parquet").to_pylist()[0]["messages"][0]["content"]
    assert content == f"{first.question}: {first.response} / {first.reference}"
    (here / "half.txt").write_text("{question}: {response}")
    assert main(["repair-data", "parquet", "set", "--out-sft", "sft.parquet", "--template", "half.txt"]) == 1
    assert "must contain {reference} exactly once" in capsys.readouterr().err


def test_broken_annotations_are_listed_on_stderr(here: Path, policy_folder: Path, capsys) -> None:
    sample(policy_folder)
    main(["repair-data", "targets", "set", "--function", "computed.py:other"])
    capsys.readouterr()
    assert main(["repair-data", "import", "set", "set/annotations.jsonl"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("set/annotations.jsonl, line 1: the target's answer is not right")
    assert told[-1] == "error: 12 lines are broken, nothing was written: correct the file, or give --skip-broken"
    assert not (here / "set/repairs.jsonl").exists()
    assert main(["repair-data", "import", "set", "set/annotations.jsonl", "--skip-broken"]) == 0
    assert len((here / "set/rejected.jsonl").read_text().splitlines()) == 12
    (here / "sft.parquet").write_text("from before")
    assert main(["repair-data", "parquet", "set", "--out-rl", "rl.parquet", "--out-sft", "sft.parquet"]) == 1
    assert "sft.parquet would have no rows; nothing was written" in capsys.readouterr().err
    assert [path.name for path in here.glob("*.parquet*")] == ["sft.parquet", "train.parquet"]
    assert (here / "sft.parquet").read_text() == "from before"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--per-prompt", "0"], "--per-prompt 0: 1 or more"),
        (["--text-only-samples", "-1"], "--text-only-samples -1: 0 or more"),
        (["--temperature", "nan"], "temperature=nan: must be a finite number"),
        (["--temperature", "-1"], "--temperature -1.0: 0 or more"),
        (["--temperature", "0"], "greedy responses would all be the same"),
        (["--top-p", "0"], "--top-p 0.0: more than 0"),
        (["--text-only-threshold", "0"], "--text-only-threshold 0.0: a share"),
        (["--answer-share", "2"], "--answer-share 2.0: a share"),
        (["--engine", "fast"], "--engine 'fast': write NAME=VALUE"),
        (["--data", "gone.parquet"], "gone.parquet: no such file"),
        (["--reward-path", "gone.py"], "cannot load 'compute_score' from"),
        (["--prompts", "0"], "--prompts 0: 1 or more"),
        (["--reference", "preferred", "--answer-fallback"], "--reference preferred needs none"),
        (["--reference", "answer", "--answer-fallback"], "--reference answer needs none"),
    ],
)
def test_options_of_sample_are_refused_before_the_model_is_loaded(
    here: Path, policy_folder: Path, capsys, options: list[str], message: str
) -> None:
    made = len(commands.VLLMGenerator.made)
    assert sample(policy_folder, *options) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and message in told and "Traceback" not in told
    assert len(commands.VLLMGenerator.made) == made and not (here / "set").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["export", "gone"], "gone/settings.json: no such file; write the set with"),
        (["export", "set", "--per-file", "0"], "--per-file 0: 1 or more"),
        (["export", "set", "--out", "x"], "--out is for --format jsonl"),
        (["targets", "set", "--function", "repair"], "write pkg://package.module:name"),
        (["targets", "set", "--function", "computed.py:gone"], "cannot load 'gone' from 'computed.py'"),
        (["import", "set", "gone.jsonl"], "gone.jsonl: no such file of annotations"),
        (["parquet", "set"], "nothing to write: give --out-sft, --out-rl or both"),
        (["parquet", "set", "--out-sft", "x"], "repairs.jsonl: no such file; write it with the command `import`"),
        (["parquet", "set", "--out-rl", "x", "--held-out", "0.5"], "--held-out and --out-val belong together"),
        (["parquet", "set", "--out-rl", "x", "--out-val", "v"], "--held-out and --out-val belong together"),
        (["parquet", "set", "--out-rl", "x", "--out-val", "x", "--held-out", "0.5"], "are the same file"),
        (["parquet", "set", "--out-rl", "x", "--out-val", "v", "--held-out", "2"], "--held-out 2.0: a share"),
    ],
)
def test_refusals(here: Path, policy_folder: Path, capsys, command: list[str], message: str) -> None:
    sample(policy_folder)
    before = sorted(path.name for path in here.rglob("*"))
    capsys.readouterr()
    assert main(["repair-data", *command]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and message in told and len(told.splitlines()) == 1
    assert sorted(path.name for path in here.rglob("*")) == before


def test_a_reward_file_and_a_model_folder_are_kept_by_their_whole_path(here: Path, policy_folder: Path) -> None:
    (here / "mine.py").write_text(f"from {REWARD.removeprefix('pkg://')} import compute_score\n")
    (here / "policy").symlink_to(policy_folder)
    assert sample(Path("policy"), "--reward-path", "mine.py") == 0
    kept = json.loads((here / "set/settings.json").read_text())
    assert kept["reward_path"] == str(here / "mine.py") and kept["model"] == str(policy_folder.resolve())
    assert kept["data"] == str((here / "train.parquet").resolve())


def test_a_reward_file_of_a_set_is_run_only_where_it_is_named(here: Path, policy_folder: Path, capsys) -> None:
    code = "from pathlib import Path\nPath('run').touch()\nfrom {} import compute_score\n"
    (here / "mine.py").write_text(code.format(REWARD.removeprefix("pkg://")))
    assert sample(policy_folder, "--reward-path", "mine.py") == 0
    assert main(["repair-data", "targets", "set", "--function", "computed.py:repair"]) == 0
    (here / "run").unlink()
    capsys.readouterr()
    told = f"error: the set's settings name {here / 'mine.py'} as its reward function, which would be run"
    for given in ([], ["--reward-path", "computed.py"]):
        assert main(["repair-data", "import", "set", "set/annotations.jsonl", *given]) == 1
        assert capsys.readouterr().err.startswith(told) and not (here / "run").exists()
    assert main(["repair-data", "import", "set", "set/annotations.jsonl", "--reward-path", "mine.py"]) == 0
    assert (here / "run").exists()


def test_one_process_works_on_a_set(here: Path, policy_folder: Path, capsys) -> None:
    with only_writer(here / "set"):
        assert sample(policy_folder) == 1
        assert "set: process" in capsys.readouterr().err
    assert sample(policy_folder) == 0
    assert main(["repair-data", "targets", "set", "--function", "computed.py:repair"]) == 0
    capsys.readouterr()
    with only_writer(here / "set"):
        assert main(["repair-data", "import", "set", "set/annotations.jsonl"]) == 1
    with only_writer(here / "set/forms"):
        assert main(["repair-data", "export", "set"]) == 1
    assert capsys.readouterr().err.count("writes there; wait for it to end") == 2


def test_annotations_are_not_overwritten(here: Path, policy_folder: Path, capsys) -> None:
    sample(policy_folder)
    (here / "set/annotations.jsonl").write_text("by hand\n")
    assert main(["repair-data", "targets", "set", "--function", "computed.py:repair"]) == 1
    assert "is there already: give --overwrite, or another --out" in capsys.readouterr().err
    assert main(["repair-data", "targets", "set", "--function", "computed.py:repair", "--overwrite"]) == 0
    assert len((here / "set/annotations.jsonl").read_text().splitlines()) == 12


def test_another_setting_is_refused_on_the_way_on(here: Path, policy_folder: Path, capsys) -> None:
    sample(policy_folder)
    assert sample(policy_folder, "--temperature", "0.7") == 1
    assert "begun with other settings: temperature 1.0 there, 0.7 now" in capsys.readouterr().err
    assert sample(policy_folder) == 0
    write_data(here / "train.parquet", [row(index) for index in range(5)])
    assert sample(policy_folder) == 1
    assert "data_rows 6 there, 5 now" in capsys.readouterr().err
    assert json.loads((here / "set/summary.json").read_text())["kept"] == 12
