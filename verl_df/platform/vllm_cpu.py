# SPDX-License-Identifier: Apache-2.0
"""The part of the CPU platform that runs inside vLLM's processes.

Target of the `vllm.general_plugins` entry point, which vLLM loads in every engine and worker process.
"""

import functools
from types import ModuleType
from typing import Any

from wrapt import when_imported

from verl_df.platform import cpu_requested


def register() -> None:
    """Mend vLLM 0.24.0's CPU build: live weights, and speculation; does nothing unless `VERL_PLATFORM=cpu`.

    Raises:
        AttributeError: vLLM renamed what is replaced; see how it does it now before raising the pin.
    """
    if not cpu_requested():
        return
    from vllm import _custom_ops as ops

    keep_live_weights(ops)
    when_imported("vllm.utils.cpu_triton_utils")(mend_kernels)
    when_imported("vllm.v1.worker.cpu_model_runner")(load_any_proposer)


def keep_live_weights(ops: ModuleType) -> None:
    """`vllm._custom_ops`: switch CPU linear layers to the live weights.

    Why: vLLM packs each linear weight for oneDNN and frees the original, so `load_weights` finds a parameter of size 0.
    Without this the first weight update raises in the worker, and the run hangs for good. Without oneDNN the layers
    call `torch.nn.functional.linear` on the parameter that the update writes to.
    """
    _require(ops, "_supports_onednn")
    ops._supports_onednn = False


def mend_kernels(shims: ModuleType) -> None:
    """`vllm.utils.cpu_triton_utils`: the two kernels without which sampling under speculation fails or is wrong.

    `sample_recovered_tokens_kernel` refuses an argument that the sampler gives it, so that the first draft ends the
    engine. `expand_kernel` hands its C++ code a converted copy of an output that is not int64 and drops it: each draft
    token's temperature and top-p are then whatever the memory held. GPUs have kernels of their own.
    """
    for name in ("expand_kernel", "sample_recovered_tokens_kernel"):
        _require(shims, name)
    shims.expand_kernel = shims._FuncWrapper(_expand)
    shims.sample_recovered_tokens_kernel = shims._FuncWrapper(
        functools.partial(_sample_recovered, shims.sample_recovered_tokens_kernel.func)
    )


def _expand(output: Any, values: Any, ends: Any, replace_from: Any, replace_to: Any, MAX_NUM_TOKENS: int = 0) -> None:
    """Give each sequence's tokens its value. output: [tokens]; values: [sequences]; ends: [sequences], cumulative."""
    counts = ends.diff(prepend=ends.new_zeros(1))
    output.copy_(values.masked_fill(values == replace_from, replace_to).repeat_interleave(counts))


def _sample_recovered(kernel: Any, *arguments: Any, USE_FP64_GUMBEL: bool = False, **keywords: Any) -> None:
    if USE_FP64_GUMBEL:
        raise ValueError("use_fp64_gumbel: vLLM's CPU kernel draws with 32 bits; leave it off")
    kernel(*arguments, **keywords)


def load_any_proposer(runners: ModuleType) -> None:
    """`vllm.v1.worker.cpu_model_runner`: a proposer of one's own (`method: custom_class`) need not have `load_model`.

    vLLM asks for it on a CPU only; on a GPU it calls it where there is one.
    """
    original = runners.CPUModelRunner.load_model

    @functools.wraps(original)
    def load_model(self: Any, *arguments: Any, **keywords: Any) -> None:
        drafter = vars(self).get("drafter")
        if drafter is not None and getattr(drafter, "load_model", None) is None:
            drafter.load_model = _nothing_to_load
        original(self, *arguments, **keywords)

    runners.CPUModelRunner.load_model = load_model


def _nothing_to_load(model: Any) -> None:
    """Stands for the `load_model` of a proposer without weights."""


def _require(module: ModuleType, name: str) -> None:
    if name not in vars(module):
        raise AttributeError(f"{module.__name__} has no {name}: this patch was written for vLLM 0.24.0")
