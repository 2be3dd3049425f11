# SPDX-License-Identifier: Apache-2.0
"""Two engines on one card that sleep and wake in turn, as policy and repair model do: neither changes the other."""

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Any

from verl_df.lab.dry_run.engine import CONTEXT, GIB
from verl_df.lab.dry_run.models import model_sizes
from verl_df.lab.dry_run.weights import engine_segments, pinned
from verl_df.lab.generation import load_processor, prompt_text
from verl_df.lab.rl_data import RLData
from verl_df.lab.smoke.outcome import Outcome
from verl_df.lab.smoke.settings import Shared

_PROMPTS, _TOKENS = 8, 32
_SHARE = 0.35
_WORKER = "verl_df.lab.smoke.worker.Probe"


def run(shared: Shared) -> Outcome:
    """Weights and greedy tokens before and after; on a GPU, what is left on the card while both sleep."""
    outcome = Outcome("engines", shared.gpu)
    policy, repair = shared.model("policy", seed=0), shared.model("repair", seed=1)
    prompts = _prompts(policy, shared.rows)
    asyncio.run(_take_turns(outcome, policy, repair, prompts))
    return outcome


async def _take_turns(outcome: Outcome, policy: Path, repair: Path, prompts: list[dict[str, Any]]) -> None:
    first = _start(policy, outcome.gpu)
    alone = await _look(first, prompts)
    if outcome.gpu:
        await first.sleep(level=2)  # as verl's policy: its weights come anew from the actor
    second = _start(repair, outcome.gpu)
    before = await _look(second, prompts)
    outcome.check("engines with the same tokens or weights", alone[0] == before[0] or alone[1] == before[1], "==", 0)
    if outcome.gpu:
        await _sleep_and_wake(outcome, first, second, repair)
    else:  # no sleep on a CPU: the engines take turns awake
        outcome.check("the first engine is as it was", await _look(first, prompts) == alone, "==", 1)
    outcome.check("the second engine is as it was", await _look(second, prompts) == before, "==", 1)
    if outcome.gpu:
        await second.sleep(level=1)
        await first.wake_up(tags=["weights"])
        await first.collective_rpc("reload_weights")
        await first.wake_up(tags=["kv_cache"])
        outcome.check("the first engine is as it was", await _look(first, prompts) == alone, "==", 1)
    first.shutdown()
    second.shutdown()


async def _sleep_and_wake(outcome: Outcome, first: Any, second: Any, repair: Path) -> None:
    """The second engine sleeps beside the first, which sleeps already, and wakes."""
    start = time.monotonic()
    await second.sleep(level=1)
    outcome.figures["first_sleep_seconds"] = time.monotonic() - start  # host memory is pinned in it
    asleep = used_memory()
    outcome.figures["card_while_both_sleep_gib"] = asleep / GIB
    # two contexts, their CUDA graphs, and what fragments
    outcome.check("GiB on the card while both sleep", asleep / GIB, "<=", 8)
    (blocks,) = await second.collective_rpc("backed_up")
    counted = pinned(engine_segments(model_sizes("repair", str(repair)), 1))
    outcome.figures |= {
        "backed_up_gib": sum(blocks) / GIB,
        "pinned_gib": pinned(blocks) / GIB,
        "pinned_by_the_dry_run_gib": counted / GIB,
    }
    outcome.check("pinned memory, by the dry run's", pinned(blocks) / counted, "<=", 1.15)
    outcome.check("pinned memory, by the dry run's (at least)", pinned(blocks) / counted, ">=", 0.85)
    start = time.monotonic()
    await second.wake_up(tags=["kv_cache", "weights"])
    await second.reset_prefix_cache()
    outcome.figures["wake_up_seconds"] = time.monotonic() - start
    start = time.monotonic()
    await second.sleep(level=1)
    await second.wake_up(tags=["kv_cache", "weights"])
    await second.reset_prefix_cache()
    outcome.figures["later_sleep_and_wake_up_seconds"] = time.monotonic() - start
    outcome.figures["context_by_the_dry_run_gib"] = CONTEXT / GIB


def _start(model: Path, gpu: bool) -> Any:
    from vllm import AsyncEngineArgs  # seconds of imports
    from vllm.v1.engine.async_llm import AsyncLLM

    own: dict[str, Any] = {"enable_sleep_mode": True, "gpu_memory_utilization": _SHARE, "dtype": "bfloat16"}
    if not gpu:
        own = {"kv_cache_memory_bytes": 2**26, "skip_mm_profiling": True, "dtype": "float32"}
    return AsyncLLM.from_engine_args(
        AsyncEngineArgs(
            model=str(model),
            max_model_len=1024,
            max_num_batched_tokens=4096 if gpu else 1024,
            max_num_seqs=16,
            enforce_eager=True,
            limit_mm_per_prompt={"image": 1, "video": 0},
            worker_extension_cls=_WORKER,
            **own,
        )
    )


async def _look(engine: Any, prompts: list[dict[str, Any]]) -> tuple[list[str], list[list[int]]]:
    """Digests of the weights of its workers, and greedy tokens: half with a picture, half without."""
    from vllm import SamplingParams

    # the end token is the likeliest everywhere: without it the answers depend on the weights
    sampling = SamplingParams(temperature=0, max_tokens=_TOKENS, min_tokens=_TOKENS)

    async def answer(number: int, prompt: dict[str, Any]) -> list[int]:
        request = f"{number}-{time.monotonic_ns()}"
        outputs = [output async for output in engine.generate(prompt, sampling, request)]
        return list(outputs[-1].outputs[0].token_ids)

    # one by one: in a batch of another size a sum of products, and then a token, can come out differently
    tokens = [await answer(number, prompt) for number, prompt in enumerate(prompts)]
    return await engine.collective_rpc("digest"), tokens


def _prompts(model: Path, rows: Path) -> list[dict[str, Any]]:
    processor, prompts = load_processor(str(model)), []
    for row in RLData(rows).prompts(range(_PROMPTS)):
        images = row.pictures()
        text = prompt_text(processor, row.messages, len(images))
        prompts.append({"prompt": text, "multi_modal_data": {"image": images}})
    alone = [{"prompt": f"<|im_start|>user\nHow many? {number}<|im_end|>\n"} for number in range(_PROMPTS // 2)]
    return prompts[: _PROMPTS // 2] + alone


def used_memory() -> float:
    """Bytes in use on the first card, by all processes."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 2**20
