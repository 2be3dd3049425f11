# SPDX-License-Identifier: Apache-2.0
"""A critic for vision-language models: the family's own backbone and a linear head, one value per token.

verl builds a critic with `AutoModelForTokenClassification`, which transformers 5.9 maps for no vision-language family,
or with TRL, which is not among our packages. Stock verl therefore has no critic that sees images, and PPO needs one.

`patch_loader` lets verl's `load_valuehead_model` build ours for the families of `FAMILIES`; all other models go to
verl's own code. A family's modeling file (about 0.1 s) is imported when such a critic is loaded, never before.
"""

import functools
import importlib
from types import ModuleType

import torch
from torch import nn
from transformers import AutoModelForTokenClassification, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_layers import GenericForTokenClassification

from verl_df.platform.patching import replace_everywhere

# Model type in config.json -> how transformers begins the names of the family's classes. Each one is built, run and
# loaded from a policy's weights in the tests.
FAMILIES = {
    "qwen2_vl": "Qwen2VL",
    "qwen2_5_vl": "Qwen2_5_VL",
    "qwen3_vl": "Qwen3VL",
    "internvl": "InternVL",
    "llava_onevision": "LlavaOnevision",
}

# verl's default for every model, and what its loader passes for critics whatever the config says.
DEFAULT_ATTENTION = "flash_attention_2"


class ValueHead(GenericForTokenClassification):
    """Forward and head of a critic; `value_model_class` joins it with a family's `PreTrainedModel`.

    The backbone is `model`, the head is `score`: [hidden_size, num_labels] and a bias. `forward` takes what the
    backbone takes and returns a `TokenClassifierOutput` with logits [batch, sequence, num_labels], in the model's
    dtype; verl sets `num_labels` to 1 and the dropout to 0.

    A new head is zero (our choice), so that all initial values are 0 and the first advantages of PPO are those of the
    rewards alone. Drawn from the family's normal distribution the head would answer with noise that grows with the
    hidden size and with the scale of the last norm, while task rewards lie in [0, 1]. The backbone gets no gradient in
    the first optimiser step only.
    """

    # A policy's checkpoint has one.
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        # verl writes this config next to its shards and verl.model_merger picks the class by this name; left alone it
        # is the policy's.
        config.architectures = [type(self).__name__]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.score:
            # The bias is zero already, as in every family.
            init.zeros_(module.weight)


@functools.cache
def value_model_class(model_type: str) -> type[PreTrainedModel]:
    """The critic of a family, e.g. `Qwen2_5_VLForTokenClassification`, registered with transformers' auto classes.

    Raises:
        KeyError: `model_type` is not in `FAMILIES`.
        ValueError: transformers maps the family itself; the library was upgraded and ours is not needed.
    """
    prefix = FAMILIES[model_type]
    modeling = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    family = getattr(modeling, f"{prefix}PreTrainedModel")
    value_class = type(f"{prefix}ForTokenClassification", (ValueHead, family), {"__module__": __name__})
    AutoModelForTokenClassification.register(family.config_class, value_class)
    _share_conversion_mapping(f"{prefix}ForConditionalGeneration", value_class.__name__)
    return value_class


def _share_conversion_mapping(policy_class: str, value_class: str) -> None:
    """Read checkpoints as the policy's class does.

    transformers finds the renaming of Qwen2-VL's and Qwen2.5-VL's published weight names ("visual.*", "model.layers.*")
    by the name of the class. Under another name the whole backbone would count as missing and stay random.
    """
    mapping = get_checkpoint_conversion_mapping(policy_class)
    if mapping is not None:
        register_checkpoint_conversion_mapping(value_class, mapping)


def register_families() -> None:
    """Make all families known to `AutoModelForTokenClassification` (0.3 s; for tools that load no critic first)."""
    for model_type in FAMILIES:
        value_model_class(model_type)


def load_value_model(
    local_path: str, torch_dtype: torch.dtype, model_config: PreTrainedConfig, trust_remote_code: bool
) -> PreTrainedModel:
    """The critic of a folder that holds a policy or a critic; same arguments as verl's `load_valuehead_model`.

    Weights of the backbone are those of the folder. `score` too if the folder has it, else zero. The attention is the
    one of `model_config`, where verl puts `critic.model.override_config.attn_implementation`; this is the only place
    that decides it.

    Raises:
        ImportError: the attention, flash attention by default, is not installed.
        OSError: the folder has no weights.
        ValueError: the folder lacks weights of the backbone, which would stay random.
    """
    attention = model_config._attn_implementation or DEFAULT_ATTENTION
    value_class = value_model_class(model_config.model_type)
    try:
        model, loading = value_class.from_pretrained(
            local_path,
            config=model_config,
            dtype=torch_dtype,
            attn_implementation=attention,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except ImportError as error:
        raise ImportError(
            f"the critic cannot be built with attn_implementation={attention!r}: {error} Install what is missing, or "
            "write +critic.model.override_config.attn_implementation=sdpa"
        ) from error
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith("score."))
    if missing:
        raise ValueError(
            f"{local_path} lacks {len(missing)} weights of {value_class.__name__}, {missing[0]!r} first: "
            "critic.model.path must be a policy or a critic of this family with all its weights"
        )
    return model


def patch_loader(verl_model: ModuleType) -> None:
    """`verl.utils.model`: build critics of the families of `FAMILIES` with `load_value_model`.

    Without the patch verl catches whatever goes wrong and asks for TRL. Its engine looks the loader up at each call.
    """
    original = verl_model.load_valuehead_model

    @functools.wraps(original)
    def load_valuehead_model(
        local_path: str, torch_dtype: torch.dtype, model_config: PreTrainedConfig, trust_remote_code: bool
    ) -> nn.Module:
        load = load_value_model if model_config.model_type in FAMILIES else original
        return load(local_path, torch_dtype, model_config, trust_remote_code)

    replace_everywhere(verl_model, "load_valuehead_model", load_valuehead_model)
