# SPDX-License-Identifier: Apache-2.0
"""A language model that copies its prompt, put together by hand: what decoding a near copy is measured and tested on.

It knows nothing but to copy. Its attention looks a fixed distance back, by rotary position alone: the biases of queries
and keys are vectors whose rotations agree at that distance. What it finds there is the next token, but for the "wrong"
tokens, each of which becomes its right one. After a prompt of `length - 1` tokens and the end token it so writes the
prompt again, repaired, and ends. How sure it is of each token is a factor of the logits.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

HEADS, WIDTH = 2, 128
HEAD = WIDTH // HEADS
ROPE_BASE = 10_000.0
# Length of queries and keys: attention to any other place is below 1e-9 of that to the right one.
_SHARPNESS = 14.0
# Of what was found against the token that stands there.
_COPY, _OWN = 1.0, 0.05


@dataclass(frozen=True)
class CopyingModel:
    """What the model is.

    Attributes:
        length: tokens of a prompt, the end token included, and of the response.
        vocabulary: tokens; the last is the end token. The first `wrong` of them are not written: token i becomes
            token `wrong` + i.
        wrong: how many.
        sureness: factor of the logits. The copied token has about this logit, all others 0 give or take a tenth of it.
        context: longest sequence.
    """

    length: int
    vocabulary: int
    wrong: int
    sureness: float
    context: int

    @property
    def end(self) -> int:
        """The end token's id."""
        return self.vocabulary - 1

    def save(self, folder: Path, seed: int = 0) -> None:
        """Write it as a Qwen2 in float32. seed: of the embeddings. There is no tokenizer."""
        config = Qwen2Config(
            vocab_size=self.vocabulary,
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=self.context,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=self.end,
            pad_token_id=self.end,
            dtype="float32",
        )
        model = Qwen2ForCausalLM(config).float()
        with torch.no_grad():
            self._fill(model, torch.Generator().manual_seed(seed))
        model.generation_config.eos_token_id = self.end
        model.save_pretrained(folder)

    def _fill(self, model: Qwen2ForCausalLM, generator: torch.Generator) -> None:
        for weights in model.parameters():
            weights.zero_()
        directions = torch.randn(self.vocabulary, WIDTH, generator=generator)
        directions /= directions.square().mean(-1, keepdim=True).sqrt()  # what the norms of layers leave as it is
        layer = model.model.layers[0]
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
            norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.copy_(_OWN * directions)
        layer.self_attn.v_proj.weight.copy_(torch.eye(WIDTH))
        layer.self_attn.o_proj.weight.copy_(_COPY * torch.eye(WIDTH))
        layer.self_attn.q_proj.bias.copy_(self._rotated(0))
        layer.self_attn.k_proj.bias.copy_(self._rotated(self.length - 1))
        heads = self.sureness / WIDTH * directions
        heads[self.wrong : 2 * self.wrong] += heads[: self.wrong]
        heads[: self.wrong] = -heads[: self.wrong]
        model.lm_head.weight.copy_(heads)

    def _rotated(self, distance: int) -> torch.Tensor:
        """A vector that, `distance` back, rotary position turns to where it turns `_rotated(0)`; once for each head."""
        angles = distance / ROPE_BASE ** (torch.arange(0, HEAD, 2) / HEAD)
        return (_SHARPNESS * torch.cat([angles.cos(), angles.sin()])).repeat(HEADS)
