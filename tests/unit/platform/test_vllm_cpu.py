# SPDX-License-Identifier: Apache-2.0
"""The mends of vLLM's CPU build: each test fails on vLLM 0.24.0 as it comes."""

import importlib.util
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verl_df.platform import vllm_cpu

pytest.importorskip("vllm._C")


def fresh_shims() -> ModuleType:
    """vLLM's module of CPU kernels, loaded anew: as it comes, whatever this process has patched."""
    spec = importlib.util.find_spec("vllm.utils.cpu_triton_utils")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shims() -> ModuleType:
    module = fresh_shims()
    vllm_cpu.mend_kernels(module)
    return module


def expanded(module: ModuleType, values: torch.Tensor, counts: list[int], *replaced: float) -> list:
    ends = torch.tensor(counts, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    output = torch.full((sum(counts),), 77, dtype=values.dtype)
    module.expand_kernel[(len(counts),)](output, values, ends, *(replaced or (0, 0)), MAX_NUM_TOKENS=128)
    return output.tolist()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0, 1.5]), st.integers(0, 5)), min_size=1, max_size=8))
def test_each_draft_token_gets_its_sequences_temperature(shims: ModuleType, sequences: list) -> None:
    temperatures, counts = zip(*sequences, strict=True)
    expected = [t or 1.0 for t, count in sequences for _ in range(count)]
    assert expanded(shims, torch.tensor(temperatures), list(counts), 0, 1) == expected


def test_whole_numbers_are_expanded_too(shims: ModuleType) -> None:
    for kind in (torch.int32, torch.int64):
        assert expanded(shims, torch.tensor([5, 9], dtype=kind), [2, 1]) == [5, 5, 9]


def recovered(module: ModuleType, **options: Any) -> list[int]:
    """One sequence with a draft of one token, token 1, whose replacement is drawn from the others."""
    output = torch.zeros(1, dtype=torch.int32)
    probabilities, draws = torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([[1.0, 9.0, 1.0]])
    ends, drafts = torch.tensor([1], dtype=torch.int32), torch.tensor([1], dtype=torch.int32)
    kernel = module.sample_recovered_tokens_kernel[(1, 1)]
    kernel(output, ends, drafts, None, probabilities, draws, 3, 8192, NO_DRAFT_PROBS=True, **options)
    return output.tolist()


def test_the_sampler_may_say_that_it_draws_with_32_bits(shims: ModuleType) -> None:
    assert recovered(shims, USE_FP64_GUMBEL=False) == [2]
    with pytest.raises(ValueError, match="use_fp64_gumbel"):
        recovered(shims, USE_FP64_GUMBEL=True)


def test_vllm_as_it_comes_does_neither() -> None:
    """Once this fails, vLLM has mended its kernels and ours can go."""
    module = fresh_shims()
    assert expanded(module, torch.tensor([0.25, 1.5]), [1, 2], 0, 1) == [77.0] * 3
    with pytest.raises(TypeError, match="USE_FP64_GUMBEL"):
        recovered(module, USE_FP64_GUMBEL=False)


def test_kernels_of_another_vllm_are_refused() -> None:
    with pytest.raises(AttributeError, match="no expand_kernel: this patch was written for vLLM 0.24.0"):
        vllm_cpu.mend_kernels(ModuleType("shims"))


class Runner:
    """Stands in for vLLM's: asks any proposer to load its model, as its `load_model` does."""

    def __init__(self, **drafter: Any) -> None:
        if drafter:
            self.drafter = SimpleNamespace(**drafter["drafter"])

    def load_model(self) -> None:
        if hasattr(self, "drafter"):
            self.drafter.load_model("the model")


def test_a_proposer_need_not_load_a_model() -> None:
    module = ModuleType("runners")
    module.CPUModelRunner = type("Patched", (Runner,), {})
    with pytest.raises(AttributeError, match="load_model"):
        Runner(drafter={"propose": None}).load_model()
    vllm_cpu.load_any_proposer(module)
    module.CPUModelRunner(drafter={"propose": None}).load_model()
    module.CPUModelRunner().load_model()
    seen: list[str] = []
    module.CPUModelRunner(drafter={"load_model": seen.append}).load_model()
    assert seen == ["the model"]
