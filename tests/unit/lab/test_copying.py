# SPDX-License-Identifier: Apache-2.0
"""The copying model does what it says."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import Qwen2ForCausalLM

from verl_df.lab.tiny.copying import CopyingModel

MODEL = CopyingModel(length=65, vocabulary=200, wrong=9, sureness=14.0, context=256)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Qwen2ForCausalLM:
    folder: Path = tmp_path_factory.mktemp("copying")
    MODEL.save(folder)
    return Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.lists(st.integers(0, MODEL.end - 1), min_size=MODEL.length - 1, max_size=MODEL.length - 1))
def test_it_repeats_its_prompt_with_right_tokens_for_wrong_ones_and_ends(
    loaded: Qwen2ForCausalLM, prompt: list[int]
) -> None:
    right = [token + MODEL.wrong if token < MODEL.wrong else token for token in prompt]
    whole = torch.tensor([[*prompt, MODEL.end, *right]])
    with torch.no_grad():
        shares = loaded(whole).logits[0, MODEL.length - 1 :].softmax(-1)
    assert shares.argmax(-1).tolist() == [*right, MODEL.end]
    assert shares.max(-1).values.min() > 0.95
