# SPDX-License-Identifier: Apache-2.0
"""InternVL between verl, transformers and vLLM."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, InternVLConfig
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group
from verl.utils.tokenizer import hf_processor, hf_tokenizer
from verl.workers.rollout import utils as rollout_utils

from tests.unit.lab.checkpoint.support import on_ranks
from verl_df.lab.tiny import save_tiny_model
from verl_df.platform import internvl
from verl_df.settings.checks import check_model_path, check_sequence_parallel
from verl_df.settings.config import ConfigError

PICTURES = [Image.new("RGB", (84, 84), "red"), Image.new("RGB", (56, 28), "blue")]  # several tiles, and fewer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "internvl"
    save_tiny_model("internvl", path)
    return path


@pytest.fixture(scope="module")
def processor(folder: Path):
    return hf_processor(str(folder))


def prompt(processor) -> str:
    content = [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "image"}, {"type": "text", "text": "same?"}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )


def test_verl_gets_a_processor_with_positions_of_one_axis(processor) -> None:
    assert type(processor).__name__ == "InternVLProcessor" and processor.config.model_type == "internvl"
    assert not hasattr(processor, "get_rope_index")  # verl then counts positions 0, 1, 2, ...


def test_other_models_get_verls_own(tmp_path: Path) -> None:
    save_tiny_model("qwen3_vl", tmp_path)
    assert type(hf_processor(str(tmp_path))).__module__.startswith("transformers.")
    ids = [1, 2, 2, 3]
    assert rollout_utils.qwen2_5_vl_dedup_image_tokens(ids, None) == ids


def test_the_prompt_for_vllm_has_one_token_an_image(processor, folder: Path) -> None:
    text = prompt(processor)
    expanded = processor(text=[text], images=PICTURES, return_tensors="pt")["input_ids"][0].tolist()
    given_to_vllm = rollout_utils.qwen2_5_vl_dedup_image_tokens(expanded, processor)
    assert given_to_vllm == hf_tokenizer(str(folder)).encode(text)
    assert given_to_vllm.count(processor.image_token_id) == 2 < expanded.count(processor.image_token_id)


class Ids:
    start_image_token_id, end_image_token_id, image_token_id = 1, 2, 3


@given(parts=st.lists(st.one_of(st.integers(4, 9), st.tuples(st.integers(1, 5)))))
def test_collapsing_undoes_expanding(parts: list[int | tuple[int]]) -> None:
    expanded: list[int] = []
    for part in parts:
        expanded += [1, *[3] * part[0], 2] if isinstance(part, tuple) else [part]
    assert internvl.collapse_images(expanded, Ids) == [3 if isinstance(part, tuple) else part for part in parts]


def test_image_tokens_without_context_stay() -> None:
    """As text that speaks of them would have them."""
    assert internvl.collapse_images([1, 2, 5, 2, 1], Ids) == [1, 2, 5, 2, 1]


def test_features_of_a_finished_rollout(processor, folder: Path) -> None:
    """verl decodes the rollout without special tokens, and asks for the features with that text."""
    whole = processor(text=[prompt(processor)], images=PICTURES, return_tensors="pt")
    text = hf_tokenizer(str(folder)).decode(whole["input_ids"][0], skip_special_tokens=True)
    assert processor.image_token not in text
    again = processor(text=[text], images=PICTURES, return_tensors="pt")
    assert torch.equal(again["pixel_values"], whole["pixel_values"])


def test_too_few_markers_are_refused_as_ever(processor) -> None:
    with pytest.raises(ValueError, match="does not match"):
        processor(text=[f"{processor.image_token} only one"], images=PICTURES, return_tensors="pt")


def test_a_saved_processor_is_transformers_own(processor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    loaded = type(AutoProcessor.from_pretrained(tmp_path))
    assert loaded.__module__ == "transformers.models.internvl.processing_internvl"


def test_the_makers_own_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl_chat"}')
    with pytest.raises(ConfigError, match="ends in -HF"):
        check_model_path("actor_rollout_ref.model.path", str(tmp_path))


@pytest.mark.parametrize("key", ["ulysses_sequence_parallel_size", "fsdp_config.ulysses_sequence_parallel_size"])
def test_sequence_parallelism_is_refused(key: str, folder: Path, tmp_path: Path) -> None:
    actor = OmegaConf.create({})
    OmegaConf.update(actor, key, 2)
    with pytest.raises(ConfigError, match=f"actor.{key}=2: .* set it to 1"):
        check_sequence_parallel(actor, str(folder))
    save_tiny_model("qwen3_vl", tmp_path)
    check_sequence_parallel(actor, str(tmp_path))


@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize("of_text", [True, False])
def test_the_language_model_says_whether_embeddings_are_tied(
    said: bool | None, of_text: bool, folder: Path, tmp_path: Path
) -> None:
    """Unless the configuration itself does. transformers takes silence for a yes."""
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = of_text
    config["tie_word_embeddings"] = said
    if said is None:
        del config["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    for loaded in (AutoConfig.from_pretrained(tmp_path), InternVLConfig.from_pretrained(tmp_path)):
        assert loaded.tie_word_embeddings is (of_text if said is None else said)
    asked, _ = AutoConfig.from_pretrained(tmp_path, tie_word_embeddings=True, return_unused_kwargs=True)
    assert asked.tie_word_embeddings is True


# ---- rows without images ---------------------------------------------------------------------------------------------


def inputs(processor: Any, images: bool) -> dict[str, torch.Tensor]:
    text = prompt(processor) if images else "none"
    return dict(processor(text=[text], images=PICTURES if images else None, return_tensors="pt"))


def step(folder: Path) -> None:
    """Forward and backward of the model as verl shards it; the second rank has a row without images only."""
    initialize_global_process_group()
    rank, mesh = torch.distributed.get_rank(), init_device_mesh("cpu", (2,))
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    for layer in (*model.model.vision_tower.encoder.layer, *model.model.language_model.layers, model):
        fully_shard(layer, mesh=mesh)
    logits = model(**inputs(hf_processor(str(folder)), images=rank == 0)).logits
    logits.logsumexp(-1).mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    destroy_global_process_group()


def test_a_rank_with_padding_rows_only_does_not_leave_the_others_waiting(folder: Path) -> None:
    on_ranks(2, step, folder)


def test_an_empty_tile_changes_no_logits(folder: Path, processor: Any) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    given = inputs(processor, images=False)
    with torch.no_grad():
        embedded = model.get_input_embeddings()(given["input_ids"])
        alone = model.model.language_model(inputs_embeds=embedded, attention_mask=given["attention_mask"])
        assert torch.equal(model.lm_head(alone.last_hidden_state), model(**given).logits)


def test_generation_goes_past_the_tower_once(folder: Path, processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    calls, stock = [], model.model.get_image_features
    monkeypatch.setattr(model.model, "get_image_features", lambda **given: calls.append(1) or stock(**given))
    model.generate(**inputs(processor, images=True), max_new_tokens=3, do_sample=False)
    assert len(calls) == 1
