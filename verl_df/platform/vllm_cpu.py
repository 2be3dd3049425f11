# SPDX-License-Identifier: Apache-2.0
"""The part of the CPU platform that runs inside vLLM's processes.

Target of the `vllm.general_plugins` entry point, which vLLM loads in every engine and worker process.
"""

from verl_df.platform import cpu_requested


def register() -> None:
    """Switch vLLM's CPU linear layers to the live weights; does nothing unless `VERL_PLATFORM=cpu`.

    Why: vLLM packs each linear weight for oneDNN and frees the original, so `load_weights` finds a parameter of size 0.
    Without this the first weight update raises in the worker, and the run hangs for good. Without oneDNN the layers
    call `torch.nn.functional.linear` on the parameter that the update writes to.

    Raises:
        AttributeError: vLLM renamed the switch; see how it packs CPU weights before raising the pin.
    """
    if not cpu_requested():
        return
    from vllm import _custom_ops as ops

    if "_supports_onednn" not in vars(ops):
        raise AttributeError("vllm._custom_ops has no _supports_onednn: this patch was written for vLLM 0.24.0")
    ops._supports_onednn = False
