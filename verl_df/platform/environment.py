# SPDX-License-Identifier: Apache-2.0
"""Environment of a run on the CPU platform, with the reason of each variable; scripts/cpu_env.sh exports it.

The variables must be set before the process that starts Ray: a worker of a cluster that is already up gets them only
through that cluster's `runtime_env`.
"""

import shlex

# (variable, value, why)
VARIABLES = (
    ("VERL_PLATFORM", "cpu", "chooses this platform; nothing else does"),
    ("VERL_ENGINE_DEVICE", "cuda", "verl registers its FSDP engine for cuda and npu only"),
    ("OMP_NUM_THREADS", "1", "trainer, rollout engine and Ray share few cores; more threads slow all of them"),
    (
        "NUMBA_NUM_THREADS",
        "1",
        "numba, which vLLM drafts with, sets OpenMP's threads to its own: torch would take them all",
    ),
    ("TORCHDYNAMO_DISABLE", "1", "saves vLLM's compilation, 22 s of every start"),
    ("VLLM_LOGGING_LEVEL", "WARNING", "vLLM's start-up log hides the trainer's"),
    ("HF_HUB_OFFLINE", "1", "models and data are local; without it each load first asks the hub"),
    ("VERL_DATAPROTO_SERIALIZATION_METHOD", "numpy", "torch files in memory cost each rollout's reward 3 ms"),
    ("TOKENIZERS_PARALLELISM", "false", "threads gain nothing on few cores, and warn after each fork"),
    ("RAY_memory_monitor_refresh_ms", "0", "Ray's monitor counts the page cache and kills workers on small machines"),
    ("RAY_USAGE_STATS_ENABLED", "0", "a test run reports nothing to anybody"),
    ("RAY_DEDUP_LOGS", "0", "Ray holds back repeated lines, among them a worker's real error"),
    ("HYDRA_FULL_ERROR", "1", "Hydra cuts the traceback otherwise"),
)


def cpu_environment() -> dict[str, str]:
    """Variables of a run on the CPU platform, by name."""
    return {name: value for name, value, _ in VARIABLES}


def shell_exports() -> str:
    """The variables as shell lines with their reasons; a value that the caller has set already is kept."""
    lines = (f"export {name}=${{{name}:-{shlex.quote(value)}}}  # {why}" for name, value, why in VARIABLES)
    return "\n".join(lines)


if __name__ == "__main__":
    print(shell_exports())
