# SPDX-License-Identifier: Apache-2.0
"""Tiny models: complete folders of the right architecture, the same for the same seed, with responses that end."""

from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from verl_df.cli import main
from verl_df.lab.tiny import ARCHITECTURES, save_tiny_model
from verl_df.lab.tiny.data import KINDS, write_rows
from verl_df.lab.tiny.reward import compute_score
from verl_df.settings.checks import check_data_file
from verl_df.settings.repair_checks import TASK_FIELDS


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / request.param
    save_tiny_model(request.param, path)
    return path


def test_the_folder_is_complete_and_of_the_architecture(folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    assert model.config.model_type == folder.name
    # vLLM would sample what the trainer's tokenizer does not know, see `verl_df.lab.toy.model.build_config`
    assert model.config.get_text_config().vocab_size == len(processor.tokenizer)
    assert processor.tokenizer.eos_token_id in model.generation_config.eos_token_id


def test_it_sees_the_picture(folder: Path) -> None:
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]}
    text = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)

    def last(colour: str) -> torch.Tensor:
        picture = Image.new("RGB", (84, 84), colour)
        with torch.no_grad():
            return model(**processor(text=[text], images=[picture], return_tensors="pt")).logits[0, -1]

    assert (last("red") - last("blue")).abs().max() > 1e-3


def test_its_responses_end(folder: Path) -> None:
    model, tokenizer = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    ids = torch.tensor([tokenizer.tokenizer.encode("How many red circles are there?")])
    with torch.no_grad():
        chances = model(input_ids=ids).logits.softmax(-1)[0, :, tokenizer.tokenizer.eos_token_id]
    assert 0.02 < chances.mean() < 0.3


def test_the_seed_decides(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        save_tiny_model("internvl", tmp_path / name, seed)
    assert torch.equal(before, torch.random.get_rng_state())
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any(torch.equal(a[name], c[name]) for name in a if name.endswith("proj.weight"))


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'qwen3_vl'"):
        save_tiny_model("qwen3vl", tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert main(["tiny", "rows", kind, "--count", "3", "--out", str(path)]) == 0
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 3
    assert Image.open(BytesIO(rows[0]["images"][0]["bytes"])).size == (84, 84)
    if kind == "sft":
        assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant"]
    else:
        check_data_file("data", str(path), "images", "prompt", decode=-1)
    if kind == "repair_tasks":
        assert set(TASK_FIELDS) <= set(rows[0]["repair_task"])


def test_fewer_rows_are_the_first_of_more(tmp_path: Path) -> None:
    for count in (2, 4):
        write_rows("rl", count, tmp_path / f"{count}.parquet")
    two, four = (pq.read_table(tmp_path / f"{count}.parquet").to_pylist() for count in (2, 4))
    assert two == four[:2]


def test_half_of_all_responses_are_right() -> None:
    scores = [compute_score("toy", f"response {number}", "3")["score"] for number in range(400)]
    assert set(scores) == {0.0, 1.0} and 150 < sum(scores) < 250
    assert compute_score("toy", "response 7", "other")["acc"] == scores[7]
