# SPDX-License-Identifier: Apache-2.0
"""The merged model against the trained actor, both real; only the start of the actor's processes is replaced."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.unit.lab.checkpoint.support import on_ranks, save_checkpoint, save_rows, save_tiny
from verl_df.cli import main
from verl_df.lab.checkpoint import actor, check
from verl_df.lab.checkpoint.check import TOLERANCE, Outcome, check_merged
from verl_df.lab.checkpoint.locate import Shards, find_shards
from verl_df.lab.checkpoint.merge import merge_checkpoint
from verl_df.lab.checkpoint.sequences import compare

RANKS, ROWS = 2, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rows.parquet, checkpoints of two ranks (step 7) and of one (step 1), and a merge."""
    folder = tmp_path_factory.mktemp("run")
    save_rows(folder / "rows.parquet", 6)
    on_ranks(RANKS, save_checkpoint, save_tiny(folder / "tiny"), folder / "global_step_7/actor")
    on_ranks(1, save_checkpoint, folder / "tiny", folder / "global_step_1/actor")
    merge_checkpoint(folder / "global_step_7", folder / "merged")
    return folder


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The actor's processes without torchrun, which would import verl anew in each."""

    def actor_log_probs(shards: Shards, asked: check.Asked, dtype: str) -> list[np.ndarray]:
        request, out = tmp_path / "request.json", tmp_path / "out.npz"
        asked.write(request)
        on_ranks(shards.world_size, actor.main, str(shards.folder), str(asked.data), str(request), str(out), dtype)
        with np.load(out) as arrays:
            return [arrays[name] for name in arrays.files]

    monkeypatch.setattr(check, "actor_log_probs", actor_log_probs)


@pytest.fixture
def merged(made: Path, tmp_path: Path) -> Path:
    """The merged model, to be damaged."""
    return Path(shutil.copytree(made / "merged", tmp_path / "merged"))


def checked(made: Path, merged: Path) -> Outcome:
    return check_merged(made / "global_step_1", merged, made / "rows.parquet", ROWS, 8)


def edit_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= values
    (folder / "config.json").write_text(json.dumps(config | values))


def test_the_merged_model_is_the_actor(made: Path, capsys: pytest.CaptureFixture) -> None:
    told = ["--merged", str(made / "merged"), "--data", str(made / "rows.parquet"), "--rows", "2", "--max-tokens", "5"]
    assert main(["checkpoint", "check", str(made / "global_step_7"), *told]) == 0
    out = capsys.readouterr().out
    assert "over 10 tokens of 2 responses" in out and "within the tolerance of 0.0001" in out


def test_the_tolerance_is_the_commands(made: Path, capsys: pytest.CaptureFixture) -> None:
    told = ["--merged", str(made / "merged"), "--data", str(made / "rows.parquet"), "--max-tokens", "5"]
    assert main(["checkpoint", "check", str(made / "global_step_1"), *told, "--rows", "1", "--tolerance", "1e-12"]) == 1
    assert "is not the trained actor (tolerance 1e-12)" in capsys.readouterr().err
    assert main(["checkpoint", "check", str(made / "global_step_1"), *told, "--rows", "0"]) == 1
    assert "--rows is 0: at least 1" in capsys.readouterr().err
    assert main(["checkpoint", "check", str(made / "global_step_1"), *told, "--tolerance", "0"]) == 1
    assert "--tolerance is 0.0: must be above 0" in capsys.readouterr().err


def test_one_tensor_off_by_a_hundredth(made: Path, merged: Path) -> None:
    weights = load_file(merged / "model.safetensors")
    name = next(name for name in weights if name.endswith("visual.blocks.0.norm1.weight"))
    weights[name] *= 1.01
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})
    outcome = checked(made, merged)
    assert outcome.judged.maximum > 2 * TOLERANCE and outcome.rounded is None


def test_rounding_is_told_and_hides_nothing(made: Path, tmp_path: Path) -> None:
    merged = merge_checkpoint(made / "global_step_1", tmp_path / "rounded", "bfloat16")
    outcome = checked(made, merged)
    assert outcome.trained.maximum > TOLERANCE > outcome.judged.maximum and outcome.dtype == "bfloat16"

    weights = load_file(merged / "model.safetensors")
    name = next(name for name in weights if name.endswith("model.norm.weight") or "language_model.norm" in name)
    weights[name] = torch.ones_like(weights[name]) * 1.0625  # exact in bfloat16
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})
    assert checked(made, merged).judged.maximum > TOLERANCE


def test_a_head_that_became_the_embeddings(made: Path, merged: Path) -> None:
    """Tied on loading, not in training: what a wrong key of config.json does."""
    weights = load_file(merged / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})
    edit_config(merged, tie_word_embeddings=True)
    assert checked(made, merged).judged.maximum > 1


def test_a_buffer_of_the_configuration(made: Path, merged: Path) -> None:
    """The rotary frequencies are no weights: they come from config.json."""
    config = json.loads((merged / "config.json").read_text())
    config["text_config"]["rope_parameters"]["rope_theta"] = 10.0
    (merged / "config.json").write_text(json.dumps(config))
    assert checked(made, merged).judged.maximum > TOLERANCE


def test_another_chat_template(made: Path, merged: Path) -> None:
    template = (merged / "chat_template.jinja").read_text()
    (merged / "chat_template.jinja").write_text("Please. " + template)
    with pytest.raises(AssertionError, match="make other tokens of the prompt"):  # of the actor's process
        checked(made, merged)


def test_a_tensor_that_the_shards_lack(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made / "global_step_1", tmp_path / "global_step_1"))
    shards = find_shards(folder)
    state = torch.load(shards.path(0), weights_only=False)
    del state["lm_head.weight"]
    torch.save(state, shards.path(0))
    with pytest.raises(AssertionError, match="lm_head.weight"):
        check_merged(folder, made / "merged", made / "rows.parquet", 1, 4)


def test_adapters(made: Path, tmp_path: Path) -> None:
    lora = {"lora_rank": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"]}
    checkpoint, data = tmp_path / "global_step_1", made / "rows.parquet"
    on_ranks(1, partial(save_checkpoint, made / "tiny", checkpoint / "actor", **lora))
    merged = merge_checkpoint(checkpoint, tmp_path / "merged")
    assert check_merged(checkpoint, merged, data, 2, 4).judged.maximum < TOLERANCE
    assert check_merged(checkpoint, made / "merged", data, 2, 4).judged.maximum > TOLERANCE  # without the adapters
    edit_config(merged, dtype="bfloat16")
    with pytest.raises(ValueError, match="adapters were folded and then rounded"):
        check_merged(checkpoint, merged, data, 2, 4)


def test_a_failed_actor_is_told() -> None:
    with pytest.raises(ValueError, match="^row 3: other tokens$"):
        check._tell_failure("INFO x\nerror: row 3: other tokens\nmore\n")
    with pytest.raises(check.ActorFailed, match="Missing key"):
        check._tell_failure("Traceback\nRuntimeError: Missing key(s)")


def test_not_a_model(made: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no config.json; write the model with"):
        checked(made, tmp_path)


def test_what_is_compared() -> None:
    ours = [np.array([-1.0, -2.0]), np.array([-3.0, -4.0, -5.0])]
    theirs = [np.array([-1.0, -2.5]), np.array([-3.0, -3.0, -5.0])]
    found = compare(ours, theirs)
    assert (found.rows, found.tokens, found.row, found.token, found.maximum) == (2, 5, 1, 1, 1.0)
    assert found.mean == pytest.approx(0.3)
    with pytest.raises(ValueError, match="other lengths"):
        compare(ours, theirs[::-1])


@given(st.lists(st.lists(st.floats(-50, 0), min_size=1, max_size=4), min_size=1, max_size=4), st.data())
def test_what_is_not_a_number_never_passes(rows: list[list[float]], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(rows) - 1))
    token = data.draw(st.integers(0, len(rows[row]) - 1))
    ours, theirs = ([np.array(values) for values in rows] for _ in range(2))
    assert compare(ours, theirs).maximum == 0
    ours[row][token] = np.nan
    found = compare(ours, theirs)
    assert (found.maximum, found.row, found.token) == (np.inf, row, token)
