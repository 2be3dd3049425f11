# SPDX-License-Identifier: Apache-2.0
"""The ledger: figures by hand, against vLLM's own classes, and against the published sizes of the models."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lab.dry_run.support import MODEL, POLICY, RUN, UPDATE
from verl_df.lab.dry_run.engine import GIB, EngineSizes, check_engine, engine_memory, largest_pictures
from verl_df.lab.dry_run.memory import check_memory, ledger
from verl_df.lab.dry_run.models import model_sizes
from verl_df.lab.dry_run.published import KNOWN_MODELS
from verl_df.lab.dry_run.update import log_prob_memory, update_memory
from verl_df.lab.dry_run.weights import MIB, engine_segments, fsdp_units, pinned, state_shards
from verl_df.settings.config import ConfigError

# Of the safetensors indices on the hub.
PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen2.5-VL-32B-Instruct": 33_452_718_336,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
    "OpenGVLab/InternVL3_5-8B-HF": 8_528_318_464,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name: str) -> None:
    model = model_sizes("", name)
    assert model.parameters == PUBLISHED[name]
    # vLLM's part is all of it, a few shared segments are not full
    for parallel in (1, 2, 4):
        assert 1.0 <= sum(engine_segments(model, parallel)) * parallel / (2 * model.parameters) < 1.08
    assert sum(state_shards(model, 1)) == 4 * model.parameters


@pytest.mark.parametrize("tensor_parallel", [1, 2, 4, 8])
@pytest.mark.parametrize("longest", [1, 16, 6144, 10_001])
def test_keys_and_values_are_vllms(tensor_parallel: int, longest: int) -> None:
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    class Config:  # what its method reads
        class model_config:
            max_model_len = longest

        class parallel_config:
            decode_context_parallel_size = prefill_context_parallel_size = 1

    model = model_sizes("", "Qwen/Qwen2.5-VL-7B-Instruct")
    heads = max(1, model.kv_heads // tensor_parallel)  # ModelConfig.get_num_kv_heads
    spec = FullAttentionSpec(block_size=16, num_kv_heads=heads, head_size=128, dtype=torch.bfloat16)
    memory = engine_memory(replace(POLICY, tensor_parallel=tensor_parallel, longest=longest), model, 80 * GIB)
    assert memory.sequence == model.layers * spec.max_memory_usage_bytes(Config)


@pytest.fixture
def real_size(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a model's published configuration and the tiny model's tokenizer: no weights."""
    from transformers import AutoConfig

    from verl_df.lab.tiny import CLASSES

    def write(name: str) -> Path:
        numbers, pictures = KNOWN_MODELS[name]
        architecture = numbers["model_type"]
        builder = importlib.import_module(f"verl_df.lab.tiny.{architecture}")
        tiny = builder.build_config(builder.save_processor(tmp_path, 0).tokenizer).to_dict()
        ids = {key: value for key, value in tiny.items() if key.endswith("token_id")}
        AutoConfig.for_model(**numbers, **ids, architectures=[CLASSES[architecture]]).save_pretrained(tmp_path)
        file = tmp_path / "processor_config.json"
        processor = json.loads(file.read_text())
        if architecture == "internvl":
            processor |= {"image_seq_length": 256}
            processor["image_processor"] |= {"size": {"height": 448, "width": 448}, "max_patches": 12}
        else:
            processor["image_processor"]["size"]["longest_edge"] = pictures.image
            processor["video_processor"]["size"]["longest_edge"] = pictures.video
        file.write_text(json.dumps(processor))
        return tmp_path

    return write


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "3B" not in name and "32B" not in name])
def test_the_pictures_of_the_profile_are_vllms(name: str, real_size: Callable[[str], Path]) -> None:
    from vllm.config import ModelConfig, SchedulerConfig, VllmConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.multimodal.encoder_budget import MultiModalBudget

    folder = real_size(name)
    sizes = model_sizes("", str(folder))
    assert sizes.vision == model_sizes("", name).vision
    for longest, images, videos, step in ((6144, 8, 0, 16384), (6144, 8, 1, 8192), (40000, 999, 999, 16384)):
        model = ModelConfig(
            str(folder),
            max_model_len=longest,
            dtype="bfloat16",
            limit_mm_per_prompt={"image": images, "video": videos},
        )
        scheduler = SchedulerConfig(
            max_num_batched_tokens=step, max_num_seqs=256, max_model_len=longest, is_encoder_decoder=False
        )
        budget = MultiModalBudget(VllmConfig(model_config=model, scheduler_config=scheduler), MULTIMODAL_REGISTRY)
        modality = budget.get_modality_with_max_tokens()
        engine = replace(
            POLICY, longest=longest, images=images, videos=videos, step_tokens=step, sequences=256, tensor_parallel=1
        )
        assert largest_pictures(engine, sizes.vision, longest) == (
            budget.mm_max_toks_per_item[modality],
            budget.mm_max_items_per_batch[modality],
        )


@given(st.lists(st.integers(1, 2**40)))
def test_pinned_blocks_are_powers_of_two(sizes: list[int]) -> None:
    expected = 0
    for size in sizes:
        block = 1
        while block < size:
            block *= 2
        expected += block
    assert pinned(sizes) == expected


def test_segments_by_hand() -> None:
    # gate and up are absent here; q, k and v are one matrix of 2.4 MB, of which the middle kind of segment is made
    segments = engine_segments(MODEL, 1)
    assert sorted(segments) == [2 * MIB, 20 * MIB, 58 * MIB, 96 * MIB, 96 * MIB]
    assert pinned(segments) == (2 + 32 + 64 + 128 + 128) * MIB
    # two keys-and-values heads on four GPUs: each has one of them
    assert sum(engine_segments(MODEL, 4)) < sum(segments) / 3
    assert fsdp_units(MODEL) == (50_000_000, 1000)
    assert fsdp_units(replace(MODEL, tied=True)) == (31_200_000, 100_001_000)


def test_an_engine_by_hand() -> None:
    memory = engine_memory(POLICY, MODEL, 10e9)
    assert memory.share == 5e9 and (memory.items, memory.tokens) == (4, 500)
    patches = 4 * 500 * 4
    assert memory.pictures == patches * (1176 * 4 + 4 * 100 * 2 + 450 * 2) + 2000 * 1000 * 2
    layer = 2048 * (3 * 1000 + 45_000) * 2
    assert memory.activations == 2000 * 1000 * 2 + layer
    assert memory.fixed == 2.5 * GIB
    assert memory.room == 5e9 - memory.weights - memory.activations - memory.fixed
    assert memory.sequence == 1504 * memory.token == 1504 * 2 * 1 * 1 * 100 * 2
    assert engine_memory(replace(POLICY, cache=123), MODEL, 10e9).room == 123
    assert engine_memory(replace(POLICY, profiled=False, eager=True), MODEL, 10e9).pictures == 0


def test_passes_by_hand() -> None:
    parameters = MODEL.parameters
    update = update_memory(UPDATE, MODEL, gpus=4, adapters=None, picture_share=0.5)
    assert update.states == parameters * 16 / 4
    assert update.checkpoints == (2000 * 1000 + 1000 * 4 * 2 * 100) * 2
    assert update.logits == 3 * 2000 * 50_000 * 2  # the model's, those divided by a temperature, their gradient
    assert update.gathered == (1000 + 2 * 50_000_000) * 2 + 50_000_000 * 6
    with_adapters = update_memory(UPDATE, MODEL, gpus=4, adapters=1000, picture_share=0.5)
    assert with_adapters.states == (1000 * 16 + parameters * 4) / 4
    assert update_memory(replace(UPDATE, fused=True), MODEL, 4, None, 0.5).logits == 0
    assert update_memory(replace(UPDATE, scaled=False), MODEL, 4, None, 0.5).logits == 2 * 2000 * 50_000 * 2
    read = log_prob_memory(UPDATE, MODEL, gpus=4, picture_share=0.5)
    assert read.states == sum(state_shards(MODEL, 4)) and read.checkpoints == 0
    assert read.logits == 2 * 2000 * 50_000 * 2
    assert log_prob_memory(replace(UPDATE, entropy=2), MODEL, 4, 0.5).logits == 4 * 2000 * 50_000 * 2


def test_what_a_node_keeps() -> None:
    sums = ledger(RUN, MODEL, gpu=80)
    assert sums.engines == 4 * pinned(engine_segments(MODEL, 2))
    assert sums.states == 4 * 3 * pinned(state_shards(MODEL, 4))  # weights and two moments
    assert ledger(replace(RUN, offload=False), MODEL, gpu=80).states == 0
    assert ledger(replace(RUN, nodes=2), MODEL, gpu=80).engines == sums.engines / 2
    # with adapters the policy's engines keep their weights, too, and only the weights and the adapters' moments leave
    adapted = ledger(replace(RUN, lora=8), MODEL, gpu=80)
    assert adapted.engines == 2 * sums.engines and adapted.states < sums.states / 2
    critic = ledger(replace(RUN, critic=True, critic_offload=True), MODEL, gpu=80)
    assert critic.states == 2 * sums.states and critic.phases == sums.phases
    stays = ledger(replace(RUN, critic=True), MODEL, gpu=80)
    assert stays.states == sums.states and all(
        stays.phases[phase] > sums.phases[phase] for phase in ("rollout", "update")
    )


def _room(engine: EngineSizes) -> int:
    """Tokens for which there is room."""
    memory = engine_memory(engine, MODEL, 10e9)
    return int(memory.room / memory.token) // 16 * 16


def test_the_longest_sequence_that_fits_is_the_limit() -> None:
    wide = replace(MODEL, context=10**9)
    most = _room(POLICY)
    check_engine(replace(POLICY, longest=most), wide, 10e9)
    with pytest.raises(ConfigError, match=f"one sequence of {most + 1:,} tokens take"):
        check_engine(replace(POLICY, longest=most + 1), wide, 10e9)
    with pytest.raises(ConfigError, match="max_model_len=1499: a prompt and its response can have 1500 tokens"):
        check_engine(replace(POLICY, longest=1499), MODEL, 10e9)
    with pytest.raises(ConfigError, match="max_model_len=10001: the model's context is 10000 tokens"):
        check_engine(replace(POLICY, longest=10_001), MODEL, 10e9)


def test_each_phase_and_the_node_are_compared() -> None:
    check_memory(RUN, MODEL, gpu=20, host=1000)
    with pytest.raises(ConfigError, match=r"a node needs \d+ GiB of memory and has HOST_GB=1:"):
        check_memory(RUN, MODEL, gpu=20, host=1)
    full = replace(RUN, policy=replace(POLICY, share=0.95))
    with pytest.raises(
        ConfigError, match=r"rollout: .* GiB on a GPU that has 19\.7: lower actor_rollout_ref.rollout.gpu"
    ):
        check_memory(full, MODEL, gpu=20, host=None)
    large = replace(RUN, update=replace(UPDATE, tokens=100_000))
    with pytest.raises(ConfigError, match="update: .* lower actor_rollout_ref.actor.ppo_max_token_len_per_gpu=100000"):
        check_memory(large, MODEL, gpu=20, host=None)
