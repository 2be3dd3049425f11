# SPDX-License-Identifier: Apache-2.0
"""Launch scripts, two steps each: rollout, repairs, update; what their own metrics say is compared with limits."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verl_df.lab.smoke.outcome import Outcome
from verl_df.lab.smoke.settings import Shared
from verl_df.platform import warm

ROOT = Path(__file__).resolve().parents[3]
_EXAMPLES = ROOT / "examples"
_STEPS, _PROMPTS, _ROLLOUTS = 2, 8, 4
_LAST = ["trainer.resume_mode=disable", "trainer.val_before_train=False", "trainer.test_freq=-1"]
_ROLLOUT = "actor_rollout_ref.rollout"
_COMPILE = "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False"
_POLICY_EAGER, _REPAIR_EAGER = f"{_ROLLOUT}.enforce_eager=True", "+df.repair.rollout.enforce_eager=True"
_PEAK = ("perf/max_memory_allocated_gb", "perf/max_memory_reserved_gb", "perf/cpu_memory_used_gb")
_BACKED_UP = re.compile(r"sleep freed [\d.]+ GiB memory in total, of which ([\d.]+) GiB is backed up in CPU")


@dataclass(frozen=True)
class Run:
    """A launch script with what the part changes.

    Attributes:
        script: under examples/.
        architecture: of the models.
        steps: of training.
        arguments: appended keys.
        eager: on a GPU, what starts without compilation and CUDA graphs.
        variables: of examples/launch.sh.
    """

    script: str
    architecture: str = "qwen2_5_vl"
    steps: int = _STEPS
    arguments: tuple[str, ...] = ("trainer.save_freq=-1",)
    eager: tuple[str, ...] = (_POLICY_EAGER, _REPAIR_EAGER, _COMPILE)
    variables: tuple[tuple[str, str], ...] = ()


RUNS = {
    # the policy's engine compiled and with CUDA graphs, the actor's entropy compiled
    "grpo": Run("df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh", eager=(_REPAIR_EAGER,), variables=(("ALGO", "df_grpo"),)),
    "gspo": Run("df_gspo_trainer/run_qwen2_5_vl_7b_fsdp.sh", arguments=(f"trainer.save_freq={_STEPS}",)),
    "lora": Run("df_grpo_trainer/run_qwen2_5_vl_3b_lora_fsdp.sh"),
    "internvl": Run(
        "df_grpo_trainer/run_internvl3_5_8b_fsdp.sh",
        architecture="internvl",
        variables=(("MAX_PROMPT", "256"), ("MAX_RESPONSE", "64")),  # the tiny model reads 1,024 tokens
    ),
}


def run(name: str, shared: Shared) -> Outcome:
    """Run it and look at its metrics.

    Raises:
        RuntimeError: it failed; the end of its output is in the message.
    """
    outcome, out = Outcome(name, shared.gpu), shared.folder / name
    (out / "metrics.jsonl").unlink(missing_ok=True)  # verl's logger goes on with one that is there
    words, variables = command(name, shared)
    log = _start(words, variables, out)
    judge(outcome, out / "metrics.jsonl", RUNS[name].steps, shared.gpu)
    if shared.gpu:
        backed_up = [float(size) for size in _BACKED_UP.findall(log)]
        outcome.figures["backed_up_gib"] = max(backed_up, default=float("nan"))
    if name == "gspo":
        _merge_and_check(outcome, out, shared)
    return outcome


def command(name: str, shared: Shared) -> tuple[list[str], dict[str, str]]:
    """The words of a run's command, and the variables of its environment."""
    one, out = RUNS[name], shared.folder / name
    policy = shared.model("policy", 0, one.architecture)
    # other weights: a repair model that is the policy would hide an engine that serves the wrong ones
    repair = shared.model("repair", 1, one.architecture)
    variables, arguments = (_on_gpu if shared.gpu else _on_cpu)(one)
    variables |= {"POLICY": str(policy), "REPAIR": str(repair), "TRAIN": str(shared.rows), "VAL": str(shared.rows)}
    variables |= {"OUT": str(out), "PYTHON": warm.python(), **dict(one.variables)}
    steps = f"trainer.total_training_steps={one.steps}"
    return ["bash", str(_EXAMPLES / one.script), *arguments, *one.arguments, *_LAST, steps], variables


def _sizes() -> dict[str, str]:
    return {
        "PROMPTS": str(_PROMPTS),
        "ROLLOUTS": str(_ROLLOUTS),
        "MINI_BATCH": str(_PROMPTS),
        "NNODES": "1",
        "GPUS": "1",
        "TP": "1",
        "LR": "1e-4",
        "REWARD_PATH": "pkg://verl_df.lab.tiny.reward",
    }


def _on_gpu(one: Run) -> tuple[dict[str, str], list[str]]:
    """In bfloat16, with packed rows and offload, as the scripts have it. A script's own sizes stay where they can."""
    sizes = {"MAX_PROMPT": "768", "MAX_RESPONSE": "256", "VLLM_SHARE": "0.35", "BATCHED_TOKENS": "4096"}
    arguments = [
        f"{_ROLLOUT}.max_num_seqs=64",
        f"{_ROLLOUT}.calculate_log_probs=True",
        "data.filter_overlong_prompts_workers=1",
        "data.dataloader_num_workers=0",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        *one.eager,
    ]
    return {**_sizes(), **sizes, "TOKENS_PER_GPU": "8192", "VLLM_LOGGING_LEVEL": "INFO"}, arguments


def _on_cpu(one: Run) -> tuple[dict[str, str], list[str]]:
    """What examples/two_steps_on_cpu.sh sets."""
    offload = [f"actor_rollout_ref.actor.fsdp_config.{what}_offload=False" for what in ("param", "optimizer")]
    ray = (
        [f"+ray_kwargs.ray_init.runtime_env.py_executable={warm.python()}"] if os.environ.get("VERL_DF_PYTHON") else []
    )
    return {**_sizes(), "MAX_PROMPT": "256", "MAX_RESPONSE": "64", "PART": "cpu"}, [*ray, *offload]


def _start(command: list[str], variables: dict[str, str], out: Path) -> str:
    """Run a command, pass its output on, and return it."""
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    with subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise RuntimeError(f"{command[1]}: exit status {process.returncode}; its output is above")
    return "".join(lines)


def judge(outcome: Outcome, metrics: Path, steps: int, gpu: bool) -> None:
    """Check what verl's `file` logger kept of a run, step by step; the worst step counts."""
    logged = [json.loads(line)["data"] for line in metrics.read_text().splitlines()]
    outcome.check("steps", len(logged), "==", steps)

    def worst(name: str, choose: Callable[..., float] = max) -> float:
        values = [step[name] for step in logged if name in step]
        whole = len(values) == len(logged) and not any(map(math.isnan, values))  # max([2, nan]) is 2
        return choose(values) if whole else float("nan")

    # the rollout's probabilities against the actor's: pictures, weights and, in the second step, their transfer
    outcome.check("rollout against actor, mean", worst("training/rollout_probs_diff_mean"), "<=", 0.01 if gpu else 1e-4)
    outcome.check("rollout against actor, max", worst("training/rollout_probs_diff_max"), "<=", 0.1 if gpu else 1e-3)
    correlation = worst("training/rollout_actor_probs_pearson_corr", min)
    outcome.check("rollout against actor, correlation", correlation, ">=", 0.99)
    outcome.check("gradient norm, least", worst("actor/grad_norm", min), ">", 0)
    outcome.check("gradient norm, largest", worst("actor/grad_norm"), "<=", 1e4)
    outcome.check("rollouts of a step", worst("df/rollouts", min), "==", _PROMPTS * _ROLLOUTS)
    outcome.check("repaired rollouts", sum(step.get("df/repaired", 0.0) for step in logged), ">", 0)
    # one optimiser step a batch: before it, the ratio of the updated to the old policy is one
    ratios = [step[name] for step in logged for name in ("df/repaired/ratio", "df/policy/ratio") if name in step]
    furthest = max((abs(ratio - 1) for ratio in ratios), default=float("nan"))
    furthest = float("nan") if any(map(math.isnan, ratios)) else furthest
    outcome.check("ratio of the first mini-batch, from 1", furthest, "<=", 1e-2 if gpu else 1e-4)
    outcome.figures |= {name: worst(name) for name in _PEAK if all(name in step for step in logged)}
    outcome.figures["seconds_of_the_last_step"] = logged[-1].get("timing_s/step", float("nan"))


def _merge_and_check(outcome: Outcome, out: Path, shared: Shared) -> None:
    """The saved actor, merged into a Hugging Face folder, has the log-probabilities of its shards."""
    checkpoint, merged = str(out / "checkpoints"), out / "merged"
    program = [warm.python() if not shared.gpu else sys.executable, "-m", "verl_df", "checkpoint"]
    _start([*program, "merge", checkpoint, "--out", str(merged)], {}, out)
    asked = ["--data", str(shared.rows), "--rows", "4", "--max-tokens", "16"]
    _start([*program, "check", checkpoint, "--merged", str(merged), *asked], {}, out)
    outcome.check("merged and checked", (merged / "config.json").is_file(), "==", 1)
