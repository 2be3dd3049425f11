# SPDX-License-Identifier: Apache-2.0
"""Positions of video tokens: the actor's are the rollout engine's."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.utils.tokenizer import hf_processor, hf_tokenizer
from verl.workers.rollout.utils import qwen2_5_vl_dedup_image_tokens
from vllm.config import ModelConfig
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from verl_df.lab.tiny import save_tiny_model
from verl_df.platform import video_positions

video_positions.apply()

MERGE, TOKENS_PER_SECOND = 2, 2
CONFIG = SimpleNamespace(
    vision_config=SimpleNamespace(spatial_merge_size=MERGE, tokens_per_second=TOKENS_PER_SECOND), image_token_id=8
)
TEXT, IMAGE, VIDEO = 0, 1, 2


def engine_positions(features: list[Any], tokens: int) -> tuple[torch.Tensor, int]:
    """vLLM's own, for a prompt with these features."""
    engine: Any = SimpleNamespace(config=CONFIG)
    engine.iter_mm_grid_thw = lambda given: Qwen2_5_VLForConditionalGeneration.iter_mm_grid_thw(engine, given)
    return Qwen2_5_VLForConditionalGeneration.get_mrope_input_positions(engine, [0] * tokens, features)


def feature(kind: int, grid: tuple[int, int, int], seconds: float, offset: int) -> Any:
    name = "image" if kind == IMAGE else "video"
    data = {f"{name}_grid_thw": SimpleNamespace(data=torch.tensor(grid))}
    if kind == VIDEO:
        data["second_per_grid_ts"] = SimpleNamespace(data=torch.tensor(seconds))
    return SimpleNamespace(modality=name, data=data, mm_position=SimpleNamespace(offset=offset))


@st.composite
def prompts(draw: st.DrawFn) -> list[tuple[int, tuple[int, int, int], float, int]]:
    """Parts of a prompt: kind, grid, seconds, length; text between the media, at least one video."""
    kinds = draw(st.lists(st.sampled_from([IMAGE, VIDEO]), min_size=1, max_size=3).filter(lambda one: VIDEO in one))
    parts = [(TEXT, (0, 0, 0), 0.0, draw(st.integers(1, 5)))]
    for kind in kinds:
        time = 1 if kind == IMAGE else draw(st.integers(1, 6))
        height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        seconds = draw(st.floats(0.0625, 5.0, width=32))
        parts.append((kind, (time, MERGE * height, MERGE * width), seconds, time * height * width))
        parts.append((TEXT, (0, 0, 0), 0.0, draw(st.integers(1, 5))))
    return parts


def actor_inputs(parts: list, padding: int) -> dict[str, torch.Tensor | None]:
    types = [kind for kind, _, _, length in parts for _ in range(length)]
    grids = {wanted: [grid for kind, grid, _, _ in parts if kind == wanted] for wanted in (IMAGE, VIDEO)}
    return {
        "input_ids": torch.zeros(1, padding + len(types), dtype=torch.int64),
        "mm_token_type_ids": torch.tensor([[0] * padding + types]),
        "image_grid_thw": torch.tensor(grids[IMAGE]) if grids[IMAGE] else None,
        "video_grid_thw": torch.tensor(grids[VIDEO]),
        "second_per_grid_ts": torch.tensor([seconds for kind, _, seconds, _ in parts if kind == VIDEO]),
        "attention_mask": torch.tensor([[0] * padding + [1] * len(types)]),
    }


@given(parts=prompts(), padding=st.integers(0, 3))
@settings(deadline=None)
def test_the_actors_positions_are_the_engines(parts: list, padding: int) -> None:
    offsets = np.cumsum([0, *(length for *_, length in parts)])
    features = [feature(*part[:3], int(at)) for part, at in zip(parts, offsets, strict=False) if part[0] != TEXT]
    expected, difference = engine_positions(features, int(offsets[-1]))
    model: Any = SimpleNamespace(config=CONFIG)
    positions, differences = Qwen2_5_VLModel.get_rope_index(model, **actor_inputs(parts, padding))
    assert torch.equal(positions[:, 0, padding:], expected)
    assert not positions[:, 0, :padding].any() and differences.tolist() == [[difference]]


def test_transformers_alone_lets_the_text_begin_amid_the_frames() -> None:
    """When this fails, transformers may not need the patch any more."""
    grid = (3, MERGE, MERGE)
    inputs = actor_inputs([(TEXT, (0, 0, 0), 0.0, 1), (VIDEO, grid, 0.5, 3), (TEXT, (0, 0, 0), 0.0, 1)], 0)
    model: Any = SimpleNamespace(config=CONFIG)
    model.get_vision_position_ids = lambda *given, **named: Qwen2_5_VLModel.get_vision_position_ids(
        model, *given, **named
    )
    stock, _ = Qwen2_5_VLModel.get_rope_index.__wrapped__(model, **inputs)
    ours, _ = Qwen2_5_VLModel.get_rope_index(model, **inputs)
    assert stock[0, 0].tolist() == [0, 1, 1, 1, 2] and ours[0, 0].tolist() == [0, 1, 2, 3, 4]


# ---- through verl's and vLLM's own processors ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tiny") / "qwen2_5_vl"
    save_tiny_model("qwen2_5_vl", path)
    return str(path)


def content(rates: list[float]) -> list[dict]:
    def clip(rate: float) -> dict:
        pixels = np.random.default_rng(0).integers(0, 256, (6, 56, 56, 3), dtype=np.uint8)
        frames = [Image.fromarray(frame) for frame in pixels]
        return {"type": "video", "video": frames, "sample_fps": rate, "min_pixels": 56 * 56}

    return [*map(clip, rates), {"type": "text", "text": "Which is faster?"}]


def test_rate_and_pixels_reach_engine_and_actor_alike(folder: str) -> None:
    """Two clips of the same frames differ in nothing but their rate."""
    processor, tokenizer = hf_processor(folder), hf_tokenizer(folder)
    messages = [{"role": "user", "content": content([0.7, 4.0])}]
    _, videos = process_vision_info(messages, return_video_metadata=True)
    worker: Any = SimpleNamespace(processor=processor, tokenizer=tokenizer, _get_mm_processor_kwargs=lambda audios: {})
    output = SimpleNamespace(multi_modal_data={"videos": videos}, mm_processor_kwargs=None)
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    given, metadata = zip(*videos, strict=True)
    whole = processor(text=[text], videos=list(given), video_metadata=list(metadata), return_tensors="pt")
    ids = whole["input_ids"]
    inputs = AgentLoopWorker._compute_multi_modal_inputs(worker, output, ids)
    positions = AgentLoopWorker._compute_position_ids(worker, ids, torch.ones_like(ids), inputs)

    config = ModelConfig(folder, dtype="float32", max_model_len=512, limit_mm_per_prompt={"image": 0, "video": 2})
    engine = MULTIMODAL_REGISTRY.create_processor(config)
    prompt = qwen2_5_vl_dedup_image_tokens(ids[0].tolist(), processor)
    items = engine.info.parse_mm_data({"video": videos})
    seen = engine.apply(ProcessorInputs(prompt=prompt, mm_data_items=items), TimingContext(enabled=False))
    assert seen["prompt_token_ids"] == ids[0].tolist()
    kept = seen["mm_kwargs"]["video"]
    assert torch.equal(torch.cat([one["pixel_values_videos"].data for one in kept]), inputs["pixel_values_videos"])
    assert [one["second_per_grid_ts"].data.item() for one in kept] == inputs["second_per_grid_ts"].tolist()
    assert len(set(seen["mm_hashes"]["video"])) == 2  # the rate is part of what vLLM's cache goes by

    CONFIG.vision_config.tokens_per_second = processor.config.vision_config.tokens_per_second
    features = [
        SimpleNamespace(modality="video", data=one, mm_position=where)
        for one, where in zip(kept, seen["mm_placeholders"]["video"], strict=True)
    ]
    expected, _ = engine_positions(features, ids.shape[1])
    assert torch.equal(positions[0, 1:], expected)
    assert positions[0, 0].tolist() == list(range(ids.shape[1]))


def test_dummy_videos_without_metadata_have_the_usual_rate(folder: str) -> None:
    """vLLM measures memory with such."""
    config = ModelConfig(folder, dtype="float32", max_model_len=512, limit_mm_per_prompt={"image": 0, "video": 1})
    engine = MULTIMODAL_REGISTRY.create_processor(config)
    token = hf_processor(folder).video_token_id
    items = engine.info.parse_mm_data({"video": [np.zeros((4, 56, 56, 3), dtype=np.uint8)]})
    seen = engine.apply(ProcessorInputs(prompt=[token], mm_data_items=items), TimingContext(enabled=False))
    (kept,) = seen["mm_kwargs"]["video"]
    assert kept["second_per_grid_ts"].data.item() == 2 / video_positions.DEFAULT_FPS
