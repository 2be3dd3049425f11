# SPDX-License-Identifier: Apache-2.0
"""The critic of vision-language models, on tiny random models of every family, loaded by verl's own function."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl import modeling_qwen2_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl
from transformers.models.qwen3_vl_moe import modeling_qwen3_vl_moe
from transformers.utils import is_flash_attn_2_available, is_kernels_available
from verl.models.transformers.monkey_patch import apply_monkey_patch
from verl.utils import model as verl_model
from verl.utils.fsdp_utils import get_fsdp_wrap_policy
from verl.workers.config import HFModelConfig

from verl_df.adapters.value_model import FAMILIES, register_families, value_model_class

IMAGE, VIDEO, START, END, PAD = 60, 61, 62, 63, 0
WIDTH = 64
QWENS = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
PATCHED_BY_VERL = [
    (modeling_qwen2_vl.Qwen2VLModel, "forward"),
    (modeling_qwen2_vl.Qwen2VLForConditionalGeneration, "forward"),
    (modeling_qwen2_5_vl.Qwen2_5_VLModel, "forward"),
    (modeling_qwen2_5_vl.Qwen2_5_VLForConditionalGeneration, "forward"),
    (modeling_qwen3_vl.Qwen3VLModel, "forward"),
    (modeling_qwen3_vl.Qwen3VLForConditionalGeneration, "forward"),
    (modeling_qwen3_vl.Qwen3VLVisionModel, "fast_pos_embed_interpolate"),
    (modeling_qwen3_vl_moe.Qwen3VLMoeModel, "forward"),
    (modeling_qwen3_vl_moe.Qwen3VLMoeForConditionalGeneration, "forward"),
    (modeling_qwen3_vl_moe.Qwen3VLMoeVisionModel, "fast_pos_embed_interpolate"),
]
# Rows of text around one image: tokens before and after it.
ROWS = [(3, 9), (1, 4)]


def _text(**more: object) -> dict:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 64}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": PAD, "tie_word_embeddings": False}
    return sizes | heads | ends | {"initializer_range": 0.1} | more


def _qwen_config(model_type: str) -> PreTrainedConfig:
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}
    patches = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "depth": 2, "num_heads": 2}
    vision = {
        "qwen2_vl": {"embed_dim": 32, "hidden_size": WIDTH, "mlp_ratio": 2, "in_channels": 3},
        "qwen2_5_vl": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0, 1],
            "in_channels": 3,
            "window_size": 112,
        },
        "qwen3_vl": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
    }[model_type]
    tokens = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": START}
    return AutoConfig.for_model(
        model_type,
        text_config=_text(rope_parameters=rope, head_dim=32)
        if model_type == "qwen3_vl"
        else _text(rope_parameters=rope),
        vision_config=patches | vision,
        vision_end_token_id=END,
        tie_word_embeddings=False,
        **tokens,
    )


def _internvl_config(model_type: str) -> PreTrainedConfig:
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return AutoConfig.for_model(
        model_type,
        text_config=_text(model_type="qwen2"),
        vision_config=vision | {"image_size": 56, "patch_size": 14},
        image_token_id=IMAGE,
        tie_word_embeddings=False,
    )


def _llava_config(model_type: str) -> PreTrainedConfig:
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return AutoConfig.for_model(
        model_type,
        text_config=_text(model_type="qwen2"),
        vision_config=vision | {"image_size": 28, "patch_size": 14, "vision_use_head": False},
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        image_grid_pinpoints=[[28, 28]],
        tie_word_embeddings=False,
    )


CONFIGS: dict[str, Callable[[str], PreTrainedConfig]] = {
    **dict.fromkeys(QWENS, _qwen_config),
    "internvl": _internvl_config,
    "llava_onevision": _llava_config,
}


@dataclass(frozen=True)
class Row:
    """One prompt with response and its image, as verl hands them over: no batch dimension."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    image: dict[str, torch.Tensor]


def _row(model_type: str, before: int, after: int, seed: int) -> Row:
    generator = torch.Generator().manual_seed(seed)

    def words(count: int) -> list[int]:
        return torch.randint(3, 50, (count,), generator=generator).tolist()

    if model_type in QWENS:
        columns = 3 * 2 * 14**2
        image = {
            "pixel_values": torch.randn(16, columns, generator=generator),
            "image_grid_thw": torch.tensor([[1, 4, 4]]),
        }
        ids = [*words(before), START, *[IMAGE] * 4, END, *words(after)]
        text = torch.arange(len(ids))
        grid = torch.stack([torch.zeros(4), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])]).long()
        rest = torch.arange(len(ids) - before - 5) + before + 3
        axes = [torch.arange(before + 1).expand(3, -1), grid + before + 1, rest.expand(3, -1)]
        # verl's four rows: text, time, height, width.
        return Row(torch.tensor(ids), torch.cat([text[None], torch.cat(axes, dim=1)]), image)
    side, count = (56, 4) if model_type == "internvl" else (28, 10)
    image = {"pixel_values": torch.randn(1, 3, side, side, generator=generator)}
    if model_type == "llava_onevision":
        # The whole picture and one tile of 2 x 2 patches each, and a line break per line of the tiles.
        image["pixel_values"] = torch.randn(1, 2, 3, side, side, generator=generator)
        image["image_sizes"] = torch.tensor([[side, side]])
    ids = torch.tensor([*words(before), *[IMAGE] * count, *words(after)])
    return Row(ids, torch.arange(len(ids)), image)


def _inputs(rows: list[Row]) -> dict[str, torch.Tensor]:
    """What verl's FSDP engine passes without `use_remove_padding`: padded on the right."""
    longest = max(len(row.input_ids) for row in rows)

    def padded(values: torch.Tensor, fill: int) -> torch.Tensor:
        return torch.nn.functional.pad(values, (0, longest - values.shape[-1]), value=fill)

    stacked_on = 1 if rows[0].position_ids.ndim == 2 else 0
    return {
        "input_ids": torch.stack([padded(row.input_ids, PAD) for row in rows]),
        "attention_mask": torch.stack([padded(torch.ones_like(row.input_ids), 0) for row in rows]),
        "position_ids": torch.stack([padded(row.position_ids, 0) for row in rows], dim=stacked_on),
        **{name: torch.cat([row.image[name] for row in rows]) for name in rows[0].image},
    }


def _packed(rows: list[Row]) -> dict[str, torch.Tensor | None]:
    """What it passes with `use_remove_padding`: one row, no mask, position ids [4, 1, tokens]."""
    return {
        "input_ids": torch.cat([row.input_ids for row in rows])[None],
        "attention_mask": None,
        "position_ids": torch.cat([row.position_ids for row in rows], dim=-1).unsqueeze(-2),
        **{name: torch.cat([row.image[name] for row in rows]) for name in rows[0].image},
    }


def _critic_config(folder: Path, attention: str | None = "sdpa") -> PreTrainedConfig:
    """As verl's engine prepares it (`FSDPEngine._build_module`)."""
    config = AutoConfig.from_pretrained(folder, attn_implementation=attention)
    config.num_labels, config.classifier_dropout, config.hidden_dropout = 1, 0.0, "0"
    return config


def _load(folder: Path, config: PreTrainedConfig | None = None) -> PreTrainedModel:
    return verl_model.load_valuehead_model(str(folder), torch.float32, config or _critic_config(folder), False)


def _with_random_head(critic: PreTrainedModel) -> PreTrainedModel:
    torch.nn.init.normal_(critic.score.weight, generator=torch.Generator().manual_seed(5))
    return critic


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a random policy of each family."""
    folders = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for model_type, config in CONFIGS.items():
            folders[model_type] = tmp_path_factory.mktemp(model_type)
            AutoModelForImageTextToText.from_config(config(model_type)).save_pretrained(folders[model_type])
    return folders


@pytest.fixture
def patch_as_verl(monkeypatch: pytest.MonkeyPatch) -> Callable[[PreTrainedModel], None]:
    """verl's monkey patch. It replaces methods of transformers' classes for good; here until the end of the test."""
    for patched, method in PATCHED_BY_VERL:
        monkeypatch.setattr(patched, method, getattr(patched, method))
    return lambda critic: apply_monkey_patch(model=critic, use_remove_padding=False)


def test_every_family_is_tested() -> None:
    assert set(CONFIGS) == set(FAMILIES)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_backbone_is_the_policys_and_the_head_is_zero(model_type: str, policies: dict[str, Path]) -> None:
    critic = _load(policies[model_type])
    policy = AutoModelForImageTextToText.from_pretrained(policies[model_type])
    assert type(critic).__name__ == type(policy).__name__.replace("ForConditionalGeneration", "ForTokenClassification")
    assert type(critic.model) is type(policy.model)
    theirs, ours = policy.model.state_dict(), critic.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert critic.score.weight.shape == (1, WIDTH)
    assert critic.get_input_embeddings().weight.shape == (64, WIDTH)
    output = critic(**_inputs([_row(model_type, *sizes, seed=1) for sizes in ROWS]), use_cache=False)
    assert isinstance(output, TokenClassifierOutput)
    assert output.logits.shape == (2, max(len(_row(model_type, *sizes, seed=1).input_ids) for sizes in ROWS), 1)
    assert torch.count_nonzero(output.logits) == 0


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl"])
def test_published_weight_names_are_understood(model_type: str, policies: dict[str, Path], tmp_path: Path) -> None:
    # The names on the hub are older than transformers' own; saving may or may not write them.
    def published(name: str) -> str:
        return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")

    weights = AutoModelForImageTextToText.from_pretrained(policies[model_type]).state_dict()
    assert "model.visual.patch_embed.proj.weight" in weights and "model.language_model.norm.weight" in weights
    save_file(
        {published(name): value for name, value in weights.items()}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    (tmp_path / "config.json").write_text((policies[model_type] / "config.json").read_text())
    loaded = _load(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items() if name != "lm_head.weight")


@pytest.mark.parametrize("patched", [False, True], ids=["transformers", "patched by verl"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_row_has_the_same_values_alone_padded_and_packed(
    model_type: str, patched: bool, policies: dict[str, Path], patch_as_verl: Callable[[PreTrainedModel], None]
) -> None:
    critic = _with_random_head(_load(policies[model_type]))
    if patched:
        patch_as_verl(critic)
    rows = [_row(model_type, *sizes, seed=seed) for seed, sizes in enumerate(ROWS)]
    with torch.no_grad():
        alone = [critic(**_inputs([row]), use_cache=False).logits.squeeze() for row in rows]
        padded = critic(**_inputs(rows), use_cache=False).logits.squeeze(-1)
        packed = critic(**_packed(rows), use_cache=False).logits.squeeze()
    torch.testing.assert_close(torch.cat(alone), packed, rtol=1e-4, atol=1e-4)
    for values, row in zip(alone, padded, strict=True):
        assert values.std() > 0.1
        torch.testing.assert_close(values, row[: len(values)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_values_depend_on_the_image(model_type: str, policies: dict[str, Path]) -> None:
    critic, row = _with_random_head(_load(policies[model_type])), _row(model_type, *ROWS[0], seed=1)
    other = Row(row.input_ids, row.position_ids, row.image | {"pixel_values": -row.image["pixel_values"]})
    with torch.no_grad():
        difference = critic(**_inputs([row])).logits - critic(**_inputs([other])).logits
    assert difference[0, -1].abs() > 1e-3
    assert torch.count_nonzero(difference[0, : ROWS[0][0]]) == 0


@pytest.mark.parametrize("model_type", FAMILIES)
def test_gradients_reach_head_and_backbone(
    model_type: str, policies: dict[str, Path], patch_as_verl: Callable[[PreTrainedModel], None]
) -> None:
    critic = _load(policies[model_type])
    patch_as_verl(critic)
    critic.train().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    inputs = _inputs([_row(model_type, *sizes, seed=1) for sizes in ROWS])

    def gradients() -> dict[str, torch.Tensor | None]:
        critic.zero_grad()
        (critic(**inputs, use_cache=False).logits - 1).square().mean().backward()
        return {name: parameter.grad for name, parameter in critic.named_parameters()}

    first = gradients()
    assert first["score.weight"].norm() > 0 and first["score.bias"].norm() > 0
    _with_random_head(critic)
    second = gradients()
    layers = [
        "model.language_model.layers.0.mlp.down_proj.weight",
        "model.language_model.layers.1.self_attn.q_proj.weight",
    ]
    vision = next(name for name in second if ("patch_embed" in name or "patch_embedding" in name) and "weight" in name)
    for name in (*layers, vision, "model.language_model.embed_tokens.weight", "score.weight"):
        assert second[name].norm() > 0, name


@pytest.mark.parametrize("model_type", FAMILIES)
def test_saved_and_loaded_again(model_type: str, policies: dict[str, Path], tmp_path: Path) -> None:
    critic = _with_random_head(_load(policies[model_type]))
    critic.save_pretrained(tmp_path)
    again = _load(tmp_path)
    assert type(again) is type(critic)
    for name, value in critic.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize("model_type", FAMILIES)
def test_verl_can_shard_it(model_type: str, policies: dict[str, Path]) -> None:
    critic = _load(policies[model_type])
    policy = AutoModelForImageTextToText.from_config(critic.config)
    assert set(critic._no_split_modules) == set(policy._no_split_modules)
    assert get_fsdp_wrap_policy(critic) is not None


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_checkpoint_names_its_class(model_type: str, policies: dict[str, Path], tmp_path: Path) -> None:
    config = _critic_config(policies[model_type])
    # What verl's checkpoint manager writes beside the shards, and what verl.model_merger makes of it.
    _load(policies[model_type], config).config.save_pretrained(tmp_path)
    written = AutoConfig.from_pretrained(tmp_path)
    assert written.architectures == [f"{FAMILIES[model_type]}ForTokenClassification"]
    assert written.num_labels == 1
    register_families()
    rebuilt = AutoModelForTokenClassification.from_config(written)
    assert type(rebuilt) is value_model_class(model_type)
    assert config.architectures == [f"{FAMILIES[model_type]}ForConditionalGeneration"]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_attention_is_the_one_verl_was_given(attention: str, policies: dict[str, Path]) -> None:
    given = HFModelConfig(
        path=str(policies["qwen2_5_vl"]), load_tokenizer=False, override_config={"attn_implementation": attention}
    )
    critic = _load(policies["qwen2_5_vl"], given.hf_config)
    parts = [part for part in critic.modules() if isinstance(part, PreTrainedModel)]
    assert {part.config._attn_implementation for part in parts} == {attention}
    assert len(parts) == 4


def test_flash_attention_is_the_default(policies: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_flash_attention(*_: object, attn_implementation: str, **__: object) -> None:
        asked.append(attn_implementation)
        raise ImportError("flash_attn seems to be not installed.")

    monkeypatch.setattr(value_model_class("qwen2_5_vl"), "from_pretrained", no_flash_attention)
    with pytest.raises(
        ImportError, match=r"flash_attn seems .* \+critic.model.override_config.attn_implementation=sdpa"
    ):
        _load(policies["qwen2_5_vl"], _critic_config(policies["qwen2_5_vl"], attention=None))
    assert asked == ["flash_attention_2"]


@pytest.mark.skipif(is_flash_attn_2_available() or is_kernels_available(), reason="flash attention is installed")
def test_missing_flash_attention_is_named(policies: dict[str, Path]) -> None:
    without_override = HFModelConfig(path=str(policies["qwen2_5_vl"]), load_tokenizer=False).hf_config
    with pytest.raises(
        ImportError, match=r"flash_attention_2.*\+critic.model.override_config.attn_implementation=sdpa"
    ):
        _load(policies["qwen2_5_vl"], without_override)


def test_a_backbone_with_missing_weights_is_refused(policies: dict[str, Path], tmp_path: Path) -> None:
    weights = load_file(policies["qwen2_5_vl"] / "model.safetensors")
    dropped = next(name for name in weights if name.endswith("layers.1.mlp.up_proj.weight"))
    kept = {name: value for name, value in weights.items() if name != dropped}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text((policies["qwen2_5_vl"] / "config.json").read_text())
    with pytest.raises(
        ValueError, match=r"lacks 1 weights of Qwen2_5_VLForTokenClassification, .*layers.1.mlp.up_proj"
    ):
        _load(tmp_path)


@pytest.mark.skipif(is_flash_attn_2_available() or is_kernels_available(), reason="flash attention is installed")
def test_other_models_keep_verls_loader(tmp_path: Path) -> None:
    AutoModel.from_config(AutoConfig.for_model("qwen2", **_text())).save_pretrained(tmp_path)
    # verl's own loader asks for flash attention whatever the config says, and then for TRL.
    with pytest.raises(RuntimeError, match="is not a value head model, please install trl"):
        _load(tmp_path)
