# SPDX-License-Identifier: Apache-2.0
"""How long a run takes to start, cold against warm (verl_df/platform/warm), in one call.

    .venv/bin/python scripts/bench/startup.py [--rounds 3] [--json FILE]

Two real steps of a launch script with tiny models (examples/two_steps_on_cpu.sh), cold and warm in turn. Per run:

| figure | what it is |
| --- | --- |
| start_s | seconds from the command to both engines ready: the actor, the rollout engine, the repair engine |
| wall_s | seconds of the whole run |
| cpu_s | processor seconds of all its processes, the warm interpreter's imports left out |
| memory_gb | largest sum over its processes of the memory of each, its share of what is shared (PSS), 1e9 bytes |

The warm interpreter is started before the first round, and `warm_up_s` says how long that took. Ratios are of medians,
cold over warm. Memory of a warm run holds the warm interpreter itself.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from verl_df.platform.environment import cpu_environment  # noqa: E402
from verl_df.platform.warm import WARM_PYTHON, stop  # noqa: E402

SCRIPT = "examples/df_gspo_trainer/run_qwen3_vl_8b_fsdp.sh"
READY = "repair engine ready"
PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.25
MEMORY_EVERY = 4  # samples; reading it takes longer
FIGURES = ("start_s", "wall_s", "cpu_s", "memory_gb")


class Meter(threading.Thread):
    """Follows all descendants of this process: processor seconds of each, and the peak of their memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[tuple[int, float], float] = {}
        self.memory = 0
        self.over = threading.Event()

    def run(self) -> None:
        rounds = 0
        while not self.over.wait(SAMPLE_SECONDS):
            self.sample(with_memory=rounds % MEMORY_EVERY == 0)
            rounds += 1

    def sample(self, with_memory: bool) -> None:
        memory = 0
        for process in psutil.Process().children(recursive=True):
            try:
                times = process.cpu_times()
                self.seconds[process.pid, process.create_time()] = times.user + times.system
                memory += process.memory_full_info().pss if with_memory else 0
            except psutil.Error:
                continue  # it ended while it was looked at
        self.memory = max(self.memory, memory)

    def total(self) -> float:
        return sum(self.seconds.values())


def measure(warm: bool, folder: Path, timeout: float) -> dict[str, float]:
    """One run of the script.

    Raises:
        RuntimeError: it failed; the end of its log is in the message.
    """
    environment = {
        **os.environ,
        "VERL_DF_WARM": str(int(warm)),
        "TINY": str(folder / "tiny"),
        "OUT": str(folder / "out"),
    }
    log = folder / f"{'warm' if warm else 'cold'}.log"
    idle = Meter()
    idle.sample(with_memory=False)
    meter = Meter()
    meter.start()
    started, start = time.monotonic(), None
    command = ["bash", "examples/two_steps_on_cpu.sh", SCRIPT, "trainer.save_freq=-1"]
    with log.open("w") as output:
        run = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        while run.poll() is None:
            time.sleep(0.1)
            if start is None and READY in log.read_text(errors="replace"):
                start = time.monotonic() - started
            if time.monotonic() - started > timeout:
                run.kill()
    wall = time.monotonic() - started
    meter.over.set()
    meter.join()
    if run.returncode != 0 or start is None:
        raise RuntimeError(f"the run ended with {run.returncode}:\n{log.read_text(errors='replace')[-3000:]}")
    return {"start_s": start, "wall_s": wall, "cpu_s": meter.total() - idle.total(), "memory_gb": meter.memory / 1e9}


def warm_up() -> float:
    """Start the warm interpreter; seconds."""
    started = time.monotonic()
    subprocess.run([WARM_PYTHON, "-c", "pass"], check=True)
    return time.monotonic() - started


def summary(runs: dict[str, list[dict[str, float]]], warm_up_s: float) -> dict:
    """Medians and their ratios, as plain data."""
    medians = {
        kind: {name: statistics.median(run[name] for run in all_) for name in FIGURES} for kind, all_ in runs.items()
    }
    ratios = {name: medians["cold"][name] / medians["warm"][name] for name in FIGURES}
    machine = {"processors": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    return {"machine": machine, "warm_up_s": warm_up_s, "runs": runs, "median": medians, "cold_over_warm": ratios}


def show(result: dict) -> None:
    """The table."""
    print(f"{'':12}" + "".join(f"{name:>12}" for name in FIGURES))
    for kind in ("cold", "warm"):
        for number, run in enumerate(result["runs"][kind], start=1):
            print(f"{kind} {number:<7}" + "".join(f"{run[name]:12.1f}" for name in FIGURES))
    for kind, values in result["median"].items():
        print(f"{kind} median ".ljust(12) + "".join(f"{values[name]:12.1f}" for name in FIGURES))
    print(f"{'cold / warm':12}" + "".join(f"{result['cold_over_warm'][name]:12.2f}" for name in FIGURES))
    print(f"warming up: {result['warm_up_s']:.1f} s, once")


def main() -> None:
    """Alternate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="cold and warm runs each (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--timeout", type=float, default=1200.0, help="seconds for each run (%(default)s)")
    arguments = parser.parse_args()
    # every process below this one, daemons included, stays its descendant
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.environ.update(cpu_environment())
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory(prefix="verl_df_startup_") as folder:
        os.environ["VERL_DF_WARM_DIR"] = f"{folder}/interpreter"
        os.environ["VERL_DF_PYTHON"] = sys.executable
        took = warm_up()
        try:
            for _ in range(arguments.rounds):
                for kind in runs:
                    runs[kind].append(measure(kind == "warm", Path(folder), arguments.timeout))
                    print(f"{kind}: {json.dumps({k: round(v, 1) for k, v in runs[kind][-1].items()})}", flush=True)
        finally:
            stop(Path(os.environ["VERL_DF_WARM_DIR"]))
    result = summary(runs, took)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
