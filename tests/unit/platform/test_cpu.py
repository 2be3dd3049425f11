# SPDX-License-Identifier: Apache-2.0
"""The CPU platform: inert without VERL_PLATFORM=cpu, and each patch's effect with it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
import verl  # noqa: F401  before verl_df.platform.cpu: it loads the plugin, which imports that module whole

from verl_df.platform import cpu_requested, register
from verl_df.platform.cpu import CpuDeviceId, PlatformCPU
from verl_df.platform.verl_cpu import PATCHES, POLL_INTERVAL, patch_packed_attention, select_engine
from verl_df.platform.vllm_cpu import register as register_in_vllm

needs_cpu_platform = pytest.mark.skipif(not cpu_requested(), reason="VERL_PLATFORM names another platform")

PROBE = f"""
import json, sys
import wrapt
waiting, when_imported = set(), wrapt.when_imported
wrapt.when_imported = lambda name: waiting.add(name) or when_imported(name)
import verl
from verl.plugin.platform import PlatformRegistry
from verl.utils.device import get_device_name
import verl.utils.distributed as distributed
from tests import ROOT
print(json.dumps({{
    "registered": PlatformRegistry.get("cpu") is not None,
    "device": get_device_name(),
    "group_device": distributed.get_device_name(),
    "waiting": sorted(set({list(PATCHES)!r}) & waiting - sys.modules.keys()),
}}))
"""


def probe(**variables: str) -> dict:
    """What a fresh process sees after `import verl`, with the given variables in place of this platform's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    finished = subprocess.run(
        [sys.executable, "-c", PROBE], env={**kept, **variables}, capture_output=True, text=True, timeout=240
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_inert_without_the_variable() -> None:
    found = probe()
    assert found["registered"]
    assert found["device"] != "cpu" and found["group_device"] == found["device"]
    assert found["waiting"] == []


def test_active_with_the_variable() -> None:
    found = probe(VERL_PLATFORM=" CPU ")
    assert (found["registered"], found["device"], found["group_device"]) == (True, "cpu", "cuda")
    assert "verl.trainer.ppo.v1.replay_buffer" in found["waiting"]


def test_registration_is_idempotent() -> None:
    from verl.plugin.platform import PlatformRegistry

    register()
    register()
    assert PlatformRegistry.get("cpu") is PlatformCPU
    assert not PlatformCPU().is_platform_available(use_smi_check=True)


def test_another_engine_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_ENGINE_DEVICE", "npu")
    with pytest.raises(ValueError, match="VERL_ENGINE_DEVICE=cuda or unset, not 'npu'"):
        select_engine()
    monkeypatch.delenv("VERL_ENGINE_DEVICE")
    select_engine()
    assert os.environ["VERL_ENGINE_DEVICE"] == "cuda"


def test_device_id_serves_both_uses() -> None:
    device_id = CpuDeviceId()
    assert torch.zeros(1).to(device_id).device.type == "cpu"
    assert torch.device(f"cpu:{device_id}") == torch.device("cpu", 0)


def test_device_module_keeps_the_random_state() -> None:
    device = PlatformCPU.device_module
    device.manual_seed(3)
    state = device.get_rng_state()
    first = torch.rand(4)
    device.set_rng_state(state)
    assert torch.equal(torch.rand(4), first)
    assert 0 < device.memory_allocated() <= device.mem_get_info()[1]
    assert device.is_available()  # falls through to torch.cpu


@pytest.fixture
def process_group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """verl's process group of one rank."""
    from verl.utils.distributed import initialize_global_process_group_ray

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    variables = {"RANK": "0", "WORLD_SIZE": "1", "DIST_INIT_METHOD": f"tcp://localhost:{port}"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    initialize_global_process_group_ray(timeout_second=30)
    yield
    torch.distributed.destroy_process_group()


@needs_cpu_platform
def test_process_group_is_gloo(process_group: None) -> None:
    value = torch.ones(2)
    torch.distributed.all_reduce(value)
    assert torch.equal(value, torch.ones(2))
    assert torch.distributed.get_backend_config() == "cpu:gloo,cuda:gloo"


def test_torch_refuses_what_verl_asks_for_unpatched() -> None:
    with pytest.raises(ValueError, match="cpu:gloo,cpu:gloo"):
        torch.distributed.distributed_c10d.BackendConfig("cpu:gloo,cpu:gloo")


@needs_cpu_platform
def test_offloaded_reference_model_runs_without_pinned_memory(process_group: None) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from verl.workers.engine.fsdp import transformer_impl

    policy = transformer_impl.CPUOffloadPolicy(pin_memory=True)
    assert policy.pin_memory is False
    assert torch.distributed.fsdp.CPUOffloadPolicy().pin_memory is True  # torch's own name is untouched
    linear = torch.nn.Linear(4, 2)
    expected = linear(torch.ones(1, 4)).detach()
    torch.distributed.fsdp.fully_shard(linear, mesh=init_device_mesh("cpu", (1,)), offload_policy=policy)
    assert torch.equal(linear(torch.ones(1, 4)).detach(), expected)


@needs_cpu_platform
def test_fsdp1_starts_from_cpu_parameters(process_group: None) -> None:
    wrapped = torch.distributed.fsdp.FullyShardedDataParallel(
        torch.nn.Linear(4, 2), device_id=CpuDeviceId(), sync_module_states=True, use_orig_params=True
    )
    wrapped(torch.ones(1, 4)).sum().backward()
    assert wrapped.weight.grad is not None


def test_packed_attention_patch_overrules_remove_padding_only() -> None:
    calls: list[dict] = []
    module = ModuleType("verl_df_monkey_patch_sample")
    module.apply_monkey_patch = lambda model, **kwargs: calls.append(kwargs)
    patch_packed_attention(module)
    module.apply_monkey_patch(model=None, use_remove_padding=True, use_fused_kernels=False)
    assert calls == [{"use_remove_padding": False, "use_fused_kernels": False}]


@needs_cpu_platform
def test_engine_calls_the_patched_attention_switch() -> None:
    from verl.models.transformers import monkey_patch
    from verl.workers.engine.fsdp import transformer_impl

    assert transformer_impl.apply_monkey_patch is monkey_patch.apply_monkey_patch
    assert monkey_patch.apply_monkey_patch.__module__ == "verl.models.transformers.monkey_patch"
    assert "verl_df" in monkey_patch.apply_monkey_patch.__code__.co_filename


def tiny_language_model() -> torch.nn.Module:
    """Two layers of Qwen2.5-VL's text model, float32, sdpa attention."""
    from transformers import Qwen2_5_VLTextConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

    config = Qwen2_5_VLTextConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 100.0},
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    return Qwen2_5_VLTextModel(config).eval()


def test_sdpa_keeps_packed_sequences_apart() -> None:
    """What `patch_packed_attention` relies on: position ids that start over split a packed row."""
    model, lengths = tiny_language_model(), [5, 3]
    ids = torch.randint(2, 32, (1, sum(lengths)))
    positions = torch.cat([torch.arange(n) for n in lengths]).expand(4, 1, -1)
    with torch.no_grad():
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        alone = [model(input_ids=part, use_cache=False).last_hidden_state for part in ids.split(lengths, dim=1)]
    assert torch.allclose(packed, torch.cat(alone, dim=1), atol=1e-6)


@needs_cpu_platform
@pytest.mark.parametrize("class_name", ["ReplayBuffer", "ReplayBufferAsync"])
def test_replay_buffer_polls_often(class_name: str) -> None:
    from verl.trainer.ppo.v1 import replay_buffer

    arguments = {
        "trainer_mode": "sync",
        "trainer_config": {},
        "max_off_policy_threshold": None,
        "max_off_policy_strategy": "drop",
        "sampler_kwargs": {},
    }
    build = getattr(replay_buffer, class_name)
    assert build(**arguments).poll_interval == POLL_INTERVAL
    assert build(**arguments, poll_interval=1.0).poll_interval == 1.0


@pytest.fixture
def vllm_ops(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """vLLM's operations as they are where oneDNN packs weights; put back afterwards."""
    ops = pytest.importorskip("vllm._custom_ops")
    monkeypatch.setattr(ops, "_supports_onednn", True)
    return ops


def test_two_runs_on_one_machine_have_sockets_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of one run's weight sync have the same, as they had it from verl."""
    from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver, BucketedWeightSender

    handle = "ipc:///tmp/rl-colocate-zmq-01000000-replica-0-rank-0.sock"
    names = []
    for raylet in ("11", "12"):
        monkeypatch.setenv("RAY_RAYLET_PID", raylet)
        sender = BucketedWeightSender(handle, 16, use_shm=True)
        receiver = BucketedWeightReceiver(handle, torch.device("cpu"), use_shm=True)
        assert sender.zmq_handle == receiver.zmq_handle != handle
        names.append(sender.zmq_handle)
    assert names[0] != names[1] and names[0].startswith("ipc:///tmp/")


def test_vllm_packing_stays_on_without_the_variable(vllm_ops: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    register_in_vllm()
    assert vllm_ops._supports_onednn is True


def test_vllm_linear_uses_the_live_weight_with_the_variable(
    vllm_ops: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    register_in_vllm()
    layer, row = torch.nn.Linear(32, 32, bias=False), torch.ones(1, 32)
    dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    layer.weight.data.fill_(2.0)  # a weight update
    assert torch.equal(layer.cpu_linear(row, layer.weight, None), torch.full((1, 32), 64.0))


def test_shell_environment_keeps_what_the_user_set() -> None:
    from tests import ROOT as root
    from verl_df.platform.environment import cpu_environment

    command = "source scripts/cpu_env.sh && env -0"
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "OMP_NUM_THREADS": "3"}
    printed = subprocess.run(
        ["bash", "-c", command], cwd=root, env=clean, capture_output=True, text=True, timeout=240, check=True
    ).stdout
    found = dict(line.split("=", 1) for line in printed.split("\0") if line)
    expected = {**cpu_environment(), "OMP_NUM_THREADS": "3"}
    assert {name: found.get(name) for name in expected} == expected
