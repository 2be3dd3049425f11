# SPDX-License-Identifier: Apache-2.0
"""Merging checkpoints that verl's own engine wrote, on one rank to three, and what else a model folder needs."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from verl.model_merger.base_model_merger import ModelMergerConfig
from verl.model_merger.fsdp_model_merger import FSDPModelMerger

from tests.unit.lab.checkpoint.support import on_ranks, save_checkpoint, save_tiny
from verl_df.cli import main
from verl_df.io.lock import InUse, only_writer
from verl_df.lab.checkpoint.locate import find_shards
from verl_df.lab.checkpoint.merge import merge_checkpoint
from verl_df.lab.checkpoint.merger import TrainedDtypeMerger

RANKS = 3  # does not divide the 452 rows of the embedding


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def checkpoint(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three ranks, FSDP2."""
    folder = tmp_path_factory.mktemp("run") / "global_step_7"
    on_ranks(RANKS, save_checkpoint, tiny, folder / "actor")
    return folder


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    """The actor's folder, to be damaged."""
    return Path(shutil.copytree(checkpoint / "actor", tmp_path / "global_step_7/actor"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert {value.dtype for value in found.values()} == {value.dtype for value in expected.values()}


def dtypes_in_config(folder: Path) -> set[str]:
    config = json.loads((folder / "config.json").read_text())
    return {config["dtype"], config["text_config"]["dtype"], config["vision_config"]["dtype"]}


def test_three_ranks_give_the_model_back_bit_for_bit(tiny: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert merge_checkpoint(checkpoint, tmp_path / "merged") == tmp_path / "merged"
    assert_same(weights(tmp_path / "merged"), weights(tiny))
    assert dtypes_in_config(tmp_path / "merged") == {"float32"}
    assert not (tmp_path / "merged.partial").exists()


def test_the_folder_is_complete(tiny: Path, checkpoint: Path, tmp_path: Path) -> None:
    merged = merge_checkpoint(checkpoint, tmp_path / "merged")
    for name in ("chat_template.jinja", "processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (merged / name).read_text() == (tiny / name).read_text()
    ours, theirs = AutoProcessor.from_pretrained(merged), AutoProcessor.from_pretrained(tiny)
    assert ours.image_processor.to_dict() == theirs.image_processor.to_dict()
    assert ours.video_processor.to_dict() == theirs.video_processor.to_dict()
    assert GenerationConfig.from_pretrained(merged).eos_token_id == GenerationConfig.from_pretrained(tiny).eos_token_id
    loaded, report = AutoModelForImageTextToText.from_pretrained(merged, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and loaded.dtype == torch.float32


def test_rounded_on_request_as_verl_rounds(tiny: Path, checkpoint: Path, tmp_path: Path) -> None:
    merged = merge_checkpoint(checkpoint, tmp_path / "merged", "bfloat16")
    config = ModelMergerConfig("merge", "fsdp", str(tmp_path / "verl"), local_dir=str(checkpoint / "actor"))
    config.hf_model_config_path = str(checkpoint / "actor/huggingface")
    FSDPModelMerger(config).merge_and_save()
    assert_same(weights(merged), weights(tmp_path / "verl"))
    assert_same(weights(merged), {name: value.bfloat16() for name, value in weights(tiny).items()})
    assert any(not torch.equal(value.float(), weights(tiny)[name]) for name, value in weights(merged).items())
    assert dtypes_in_config(merged) == {"bfloat16"}


@pytest.mark.parametrize("ranks", [1, 2])
def test_fsdp1_and_tied_embeddings(tmp_path: Path, ranks: int) -> None:
    """One rank saves plain tensors, two save parts."""
    tied = save_tiny(tmp_path / "tied", tied=True)
    on_ranks(ranks, save_checkpoint, tied, tmp_path / "global_step_1/actor", "fsdp")
    merged = merge_checkpoint(tmp_path / "global_step_1", tmp_path / "merged")
    assert_same(weights(merged), weights(tied))
    assert "lm_head.weight" not in weights(merged)
    model = AutoModelForImageTextToText.from_pretrained(merged)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def adapted(tiny: Path, folder: Path) -> Path:
    """A checkpoint of LoRA training, one rank."""
    lora = {"lora_rank": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    on_ranks(1, partial(save_checkpoint, tiny, folder / "actor", **lora))
    return folder


def test_adapters_are_folded(tiny: Path, tmp_path: Path) -> None:
    checkpoint = adapted(tiny, tmp_path / "global_step_1")
    merged = merge_checkpoint(checkpoint, tmp_path / "merged")
    before, after = weights(tiny), weights(merged)
    assert before.keys() == after.keys() and not (merged / "lora_adapter").exists()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith(("q_proj.weight", "v_proj.weight"))}
    path = find_shards(checkpoint).path(0)
    shard = {name: value.to_local() for name, value in torch.load(path, weights_only=False).items()}
    (a,), (b,) = ([shard[name] for name in shard if f"q_proj.lora_{side}." in name] for side in "AB")
    (target,) = (name for name in before if name.endswith("q_proj.weight"))
    torch.testing.assert_close(after[target], before[target] + 8 / 4 * b @ a, atol=1e-6, rtol=0)

    # what `save_lora_only` leaves out
    torch.save({name: value for name, value in shard.items() if "lora_" in name}, path)
    with pytest.raises(ValueError, match="holds the adapters only.*save_lora_only=False"):
        merge_checkpoint(checkpoint, tmp_path / "again")
    torch.save(shard, path)
    (checkpoint / "actor/lora_train_meta.json").unlink()
    with pytest.raises(ValueError, match="no lora_alpha, so the adapters' scale is unknown"):
        merge_checkpoint(checkpoint, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_integers_and_single_buffers_keep_their_dtype(checkpoint: Path, tmp_path: Path) -> None:
    """verl rounds integers to bfloat16 too: 257 would become 256."""
    merger = TrainedDtypeMerger(find_shards(checkpoint), str(tmp_path), torch.bfloat16)
    assert merger._cast(torch.tensor([257])).tolist() == [257]
    assert merger._cast(torch.tensor([1.001])).dtype == torch.bfloat16


def test_a_buffer_that_sorts_first_does_not_hide_the_ranks(copied: Path, tmp_path: Path) -> None:
    """verl asks the first name for the mesh: a plain tensor would make it merge the shards of rank 0 alone."""
    shards = find_shards(copied)
    for rank in range(RANKS):
        state = torch.load(shards.path(rank), weights_only=False)
        torch.save({"a_buffer": torch.ones(2), **state}, shards.path(rank))
    with pytest.raises(ValueError, match=r"unknown or of another size \['a_buffer'\]"):
        merge_checkpoint(copied, tmp_path / "merged")


def test_a_tensor_that_is_missing_is_refused_and_nothing_is_left(copied: Path, tmp_path: Path) -> None:
    shards = find_shards(copied)
    for rank in range(RANKS):
        state = torch.load(shards.path(rank), weights_only=False)
        del state["lm_head.weight"]
        torch.save(state, shards.path(rank))
    with pytest.raises(ValueError, match=r"missing \['lm_head.weight'\]"):
        merge_checkpoint(copied, tmp_path / "merged")
    assert not list(tmp_path.glob("merged*"))


def test_a_shard_of_another_rank_is_refused(copied: Path, tmp_path: Path) -> None:
    shutil.copyfile(find_shards(copied).path(0), find_shards(copied).path(2))
    with pytest.raises(ValueError, match="are the shards of one save"):
        merge_checkpoint(copied, tmp_path / "merged")


def test_the_command(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "full").mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "full/model.safetensors")
    assert main(["checkpoint", "merge", str(checkpoint), "--out", str(tmp_path / "full")]) == 1
    assert capsys.readouterr().err.strip() == (
        f"error: {tmp_path / 'full'}: is not empty; give another folder, or remove it"
    )
    (tmp_path / "empty").mkdir()
    assert main(["checkpoint", "merge", str(checkpoint), "--out", str(tmp_path / "empty"), "--dtype", "float16"]) == 0
    assert {value.dtype for value in weights(tmp_path / "empty").values()} == {torch.float16}


class Code:
    """Pickles as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("rank", [0, RANKS - 1])
def test_a_shard_with_code_is_refused_and_the_code_is_not_run(copied: Path, tmp_path: Path, rank: int) -> None:
    path, made = find_shards(copied).path(rank), tmp_path / "made"
    content = torch.load(path, weights_only=False)
    torch.save({**content, "code": Code(made)}, path)
    with pytest.raises(ValueError, match=rf"rank_{rank}\.pt: no shard of tensors alone"):
        merge_checkpoint(copied, tmp_path / "out")
    assert not made.exists() and not (tmp_path / "out").exists()
    torch.load(path, weights_only=False)
    assert made.exists()  # it would have


@pytest.mark.parametrize("rank", [0, RANKS - 1])
@pytest.mark.parametrize("damage", ["empty", "half", "garbage", "text", "zip", "list", "number"])
def test_a_broken_shard_is_one_line(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture, rank: int, damage: str
) -> None:
    path = find_shards(copied).path(rank)
    whole = path.read_bytes()
    if damage == "list":
        torch.save([torch.zeros(1)], path)
    elif damage == "number":
        torch.save({"a": 1}, path)
    else:
        parts = {"empty": b"", "half": whole[: len(whole) // 2], "garbage": whole[:64] + bytes(len(whole) - 64)}
        path.write_bytes({**parts, "text": b"version https://git-lfs", "zip": b"PK\5\6" + bytes(18)}[damage])
    assert main(["checkpoint", "merge", str(copied), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and path.name in error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_being_written_is_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    with only_writer(tmp_path, "out"), pytest.raises(InUse, match="out: process .* writes there"):
        merge_checkpoint(checkpoint, tmp_path / "out")
    assert not list(tmp_path.iterdir())
