# SPDX-License-Identifier: Apache-2.0
"""Finding the shards of a checkpoint, and saying what is wrong with them."""

import json
from pathlib import Path

import pytest

from verl_df.lab.checkpoint.locate import find_actor, find_shards, step_of
from verl_df.lab.checkpoint.merge import merge_checkpoint, whole_folder


def make(folder: Path, ranks: int = 2, **config: object) -> Path:
    (folder / "huggingface").mkdir(parents=True)
    (folder / "huggingface/config.json").write_text("{}")
    (folder / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": ranks} | config))
    for rank in range(ranks):
        (folder / f"model_world_size_{ranks}_rank_{rank}.pt").touch()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with the checkpoints of steps 5, 10 and 9; the newest is that of step 10."""
    for step in (5, 10, 9):
        make(tmp_path / f"run/checkpoints/global_step_{step}/actor")
    (tmp_path / "run/checkpoints/latest_checkpointed_iteration.txt").write_text("10")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("given", "step"),
    [
        ("", 10),
        ("checkpoints", 10),
        ("checkpoints/global_step_5", 5),
        ("checkpoints/global_step_5/actor", 5),
    ],
)
def test_every_way_to_name_a_checkpoint(run: Path, given: str, step: int) -> None:
    actor = find_actor(run / given)
    assert actor == run / f"checkpoints/global_step_{step}/actor" and step_of(actor) == step


def test_the_sft_trainers_layout(tmp_path: Path) -> None:
    make(tmp_path / "global_step_3")
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("3\n")
    assert find_actor(tmp_path) == find_actor(tmp_path / "global_step_3") == tmp_path / "global_step_3"
    assert step_of(tmp_path / "global_step_3") == 3


def test_a_step_is_the_folders_name(tmp_path: Path) -> None:
    assert step_of(tmp_path / "elsewhere/actor") is None
    assert step_of(tmp_path / "global_step_12/actor") == 12


def test_what_there_is(run: Path) -> None:
    shards = find_shards(run)
    assert (shards.world_size, shards.fsdp_version, shards.lora()) == (2, 2, None)
    assert shards.path(1).name == "model_world_size_2_rank_1.pt"
    (shards.folder / "lora_train_meta.json").write_text('{"r": 4, "lora_alpha": 8}')
    assert shards.lora() == {"r": 4, "lora_alpha": 8}


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_actor(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no checkpoint of verl's FSDP engine"):
        find_actor(tmp_path)


@pytest.mark.parametrize(("note", "error"), [("ten", "'ten' is no step"), ("11", "global_step_11: .* names it")])
def test_a_note_of_the_newest_that_misleads(run: Path, note: str, error: str) -> None:
    (run / "checkpoints/latest_checkpointed_iteration.txt").write_text(note)
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        find_actor(run)


def test_a_missing_rank(run: Path) -> None:
    shards = find_shards(run)
    shards.path(1).unlink()
    with pytest.raises(FileNotFoundError, match=r"rank_1.pt: no such file \(1 of 2 ranks are missing\)"):
        find_shards(run)
    shards.path(0).unlink()
    with pytest.raises(FileNotFoundError, match="save_contents without 'model'"):
        find_shards(run)


def test_another_number_of_ranks(run: Path) -> None:
    folder = find_actor(run)
    (folder / "model_world_size_4_rank_0.pt").touch()
    with pytest.raises(ValueError, match=r"says 2 ranks, the shards are of \[2, 4\]"):
        find_shards(run)


def test_no_configuration_of_the_model(run: Path) -> None:
    (find_actor(run) / "huggingface/config.json").unlink()
    with pytest.raises(FileNotFoundError, match="huggingface: no config.json"):
        find_shards(run)


@pytest.mark.parametrize("content", ["", "[]", '{"world_size": "2", "FSDP_version": 2}', '{"world_size": 2}'])
def test_unreadable_notes(run: Path, content: str) -> None:
    (find_actor(run) / "fsdp_config.json").write_text(content)
    with pytest.raises(ValueError, match="fsdp_config.json: "):
        find_shards(run)


def test_bad_arguments_are_told_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        merge_checkpoint(run, tmp_path / "file")
    with pytest.raises(ValueError, match="write one of auto, float32"):
        merge_checkpoint(run, tmp_path / "out", "fp32")
    assert not (tmp_path / "out").exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial/left").touch()  # of a process that was killed
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as partial:
        (partial / "a").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as partial:
        (partial / "a").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"] and not partial.exists()
