# SPDX-License-Identifier: Apache-2.0
"""One more pass of the policy over the same rows, in which the prompt also shows a right response.

It is put in as tokens before what the chat template ends a prompt with, so that pictures and everything else that the
row has stay as they are. Text counts on by one on every axis of M-RoPE, so positions behind it move by its length.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils.tensordict_utils import maybe_fix_3d_position_ids

from verl_df.adapters.policy_training.rows import PER_TOKEN_INPUTS
from verl_df.prompts import SHOWN_FILE, SHOWN_PLACEHOLDERS, read_template, render

SHOWN_LOG_PROBS = "df_shown_log_probs"
# Of each row, int64: how many tokens of the prompt come first, then those that are put in, if any.
SHOWN = "df_shown"
# Stands for a question while the chat template is looked at.
_QUESTION = "QUESTION"


class Shower:
    """Turns a right response into tokens for a prompt, and finds their place.

    Args:
        tokenizer: the policy's.
        processor: its processor; None for a text model.
        template_arguments: of the chat template, `data.apply_chat_template_kwargs`.

    Raises:
        ValueError: the chat template does not end a prompt the same way whatever the question.
    """

    def __init__(self, tokenizer: Any, processor: Any, template_arguments: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._template = read_template(SHOWN_FILE, SHOWN_PLACEHOLDERS)
        content = _QUESTION if processor is None else [{"type": "text", "text": _QUESTION}]
        text = (processor or tokenizer).apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **template_arguments
        )
        before, found, end = text.rpartition(_QUESTION)
        self._end = self._encode(end)
        if not (found and self._end and self._encode(text)[-len(self._end) :] == self._end):
            raise ValueError(
                "a right response cannot be shown in this model's prompts: what its chat template puts after a "
                f"question, {end!r}, has no tokens of its own; choose a df.weight.kind that needs no such pass"
            )
        self._special = frozenset(tokenizer.all_special_ids)

    def tokens(self, reference: str) -> list[int]:
        """What is put in for a right response: no special token, whatever its text."""
        shown = "\n\n" + render(self._template, {"reference": reference})
        return [token for token in self._encode(shown) if token not in self._special]

    def place(self, prompt: Sequence[int]) -> int:
        """How many tokens of a prompt come before it.

        Raises:
            ValueError: the prompt does not end as the chat template ends one.
        """
        place = len(prompt) - len(self._end)
        if list(prompt[place:]) != self._end:
            raise ValueError(
                f"a prompt ends with the tokens {list(prompt[-len(self._end) :])}, and the chat template with "
                f"{self._end}: a right response cannot be shown in it; choose a df.weight.kind that needs no such pass"
            )
        return place

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)


def show_responses(data: TensorDict) -> TensorDict:
    """In a worker: the rows as the trainer sent them, with `df_shown` in their prompts.

    Raises:
        NotImplementedError: the model takes inputs per token besides ids and positions.
    """
    for inputs in data["multi_modal_inputs"] if "multi_modal_inputs" in data.keys() else ():
        per_token = [name for name in PER_TOKEN_INPUTS if inputs is not None and name in inputs]
        if per_token:
            raise NotImplementedError(
                f"this model's processor gives inputs per token ({', '.join(per_token)}), which a prompt with a shown "
                "response cannot take over: choose a df.weight.kind that needs no such pass"
            )
    maybe_fix_3d_position_ids(data)
    shown = [(int(row[0]), row[1:]) for row in data[SHOWN].unbind()]
    for name in ("prompts", "input_ids"):
        rows = zip(data[name].unbind(), shown, strict=True)
        data[name] = _nested([torch.cat([row[:place], put_in, row[place:]]) for row, (place, put_in) in rows])
    rows = zip(_sequences(data["position_ids"]), shown, strict=True)
    data["position_ids"] = _nested([shifted(row, place, len(put_in)) for row, (place, put_in) in rows])
    if "attention_mask" in data.keys():
        data["attention_mask"] = _nested([torch.ones_like(row) for row in data["input_ids"].unbind()])
    return data


def shifted(position_ids: torch.Tensor, place: int, count: int) -> torch.Tensor:
    """Positions with those of `count` more tokens of text put in at `place`, int64 [length] or [axes, length].

    Raises:
        ValueError: what comes after `place` is not text, whose positions go up by one on every axis.
    """
    before, after = position_ids[..., :place], position_ids[..., place:]
    last = before[..., -1:]
    if not torch.equal(after, last + 1 + torch.arange(after.shape[-1], device=after.device)):
        raise ValueError(
            "position ids do not count up by one from where a right response is shown to the end: this model's "
            "positions are not those of plain text; choose a df.weight.kind that needs no such pass"
        )
    return torch.cat([before, last + 1 + torch.arange(count + after.shape[-1], device=after.device)], dim=-1)


def _sequences(nested: Any) -> list[torch.Tensor]:
    """Rows of a nested tensor whose last axis is ragged; torch's `unbind` fails on some with three axes."""
    return list(nested.values().split(nested.offsets().diff().tolist(), dim=-1))


def _nested(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    lengths = torch.tensor([0, *(row.shape[-1] for row in rows)], device=rows[0].device)
    values = torch.cat(list(rows), dim=-1)
    return torch.nested.nested_tensor_from_jagged(values, lengths.cumsum(0), jagged_dim=rows[0].dim())
