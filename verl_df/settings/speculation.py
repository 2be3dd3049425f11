# SPDX-License-Identifier: Apache-2.0
"""Speculation for the repair engine: a repair is almost a copy of its prompt, so vLLM can draft it from there.

vLLM accepts drafts by rejection sampling, which leaves the distribution of what is sampled as it is. How long drafts
are is decided here and nowhere else; docs/speculation.md says why.
"""

import importlib.util
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_df.settings.config import ConfigError, RepairConfig

# Tokens that a forward pass may verify, of all sequences together. An accelerator reads its weights for so many at
# about the cost of one, and the engine holds logits of each in float32.
VERIFIED_TOKENS = 512
# vLLM takes at most 128 tokens of a sequence, the one after the draft included.
LONGEST_DRAFT = 127
# A draft follows a place where the last 2 tokens were seen before; of several, one where up to 8 were.
LOOKUP = (2, 8)
# vLLM's `method: custom_class` is a class by its name. Its drafts follow the same place after an edit as well.
COPY_PROPOSER = "verl_df.adapters.policy_training.copy_drafts.CopyProposer"
_KEY = "df.repair.speculation"


def draft_length(sequences: int, response: int) -> int:
    """Draft tokens of each of `sequences` that decode at once, where a response has at most `response` tokens.

    With drafts of this length a pass verifies `sequences * (draft + 1)` tokens, at most `VERIFIED_TOKENS`; where more
    sequences decode than that leaves room for, there are no drafts.
    """
    return max(0, min(LONGEST_DRAFT, response, VERIFIED_TOKENS // sequences - 1))


def draft_schedule(most: int, response: int) -> list[list[int]]:
    """[[first, last, draft], ...]: the draft for first to last sequences at once, up to `most`, by powers of two."""
    rows, first, last = [], 1, 1
    while first <= most:
        rows.append([first, min(last, most), draft_length(min(last, most), response)])
        first, last = last + 1, 2 * last
    return rows


def draft_room(response: int) -> int:
    """Tokens that `max_model_len` needs beside a prompt and its response: the draft being verified, and the next one.

    vLLM drafts for no sequence of a batch while a single one lacks that room.
    """
    return 2 * draft_length(1, response)


def speculate(rollout: DictConfig, speculation: str) -> None:
    """Make the repair engine's rollout block speculate, in place.

    Args:
        rollout: verl's rollout block.
        speculation: `df.repair.speculation`; "off" leaves the block as it is.
    """
    if speculation == "off":
        return
    config: dict[str, Any] = {
        "method": "custom_class" if speculation == "copy" else speculation,
        "num_speculative_tokens": draft_length(1, rollout.response_length),
    }
    if speculation != "suffix":  # which has lengths of its own, and ends the engine where it is told others
        config["num_speculative_tokens_per_batch_size"] = draft_schedule(rollout.max_num_seqs, rollout.response_length)
    if speculation == "ngram":
        config |= {"prompt_lookup_min": LOOKUP[0], "prompt_lookup_max": LOOKUP[1]}
    if speculation == "copy":
        config["model"] = COPY_PROPOSER
    rollout.engine_kwargs = OmegaConf.merge(rollout.engine_kwargs, {"vllm": {"speculative_config": config}})
    rollout.max_model_len += draft_room(rollout.response_length)
    rollout.disable_log_stats = False  # the engine counts accepted tokens only with its statistics


def check_speculation(repair: RepairConfig, rollout: DictConfig) -> None:
    """Refuse what the repair engine would refuse when it starts.

    Args:
        repair: the `df.repair` block.
        rollout: the policy's rollout block, from which the repair engine's is made.

    Raises:
        ConfigError: the contradiction.
    """
    if repair.speculation == "off":
        return
    chosen = f"{_KEY}={repair.speculation}"
    own = repair.rollout.get("engine_kwargs") or {}
    engine = {**((rollout.get("engine_kwargs") or {}).get("vllm") or {}), **(own.get("vllm") or {})}
    name = repair.rollout.get("name") or rollout.get("name", "vllm")  # verl asks for a name itself
    if name != "vllm":
        raise ConfigError(f"{chosen} is for vLLM, and the repair engine is {name}: set {_KEY}=off")
    if engine.get("speculative_config") is not None:
        raise ConfigError(
            f"{chosen} and engine_kwargs.vllm.speculative_config, of df.repair.rollout or of the policy's rollout: "
            f"set {_KEY}=off to use that"
        )
    if engine.get("async_scheduling"):
        raise ConfigError(
            f"{chosen}: vLLM drafts between its steps and cannot schedule ahead of them; take "
            f"engine_kwargs.vllm.async_scheduling=True out for df.repair.rollout, or set {_KEY}=off"
        )
    if repair.speculation == "suffix" and importlib.util.find_spec("arctic_inference") is None:
        raise ConfigError(f"{chosen} needs the package arctic-inference, which is not installed; copy needs none")
