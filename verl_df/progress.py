# SPDX-License-Identifier: Apache-2.0
"""Run a verl trainer with its thousands of log lines in a file, and a few readable ones on the terminal.

    python -m verl_df.progress --log run.log -- bash examples/toy/run_toy_qwen2_5_vl.sh

Nothing is hidden: the log holds everything, and when the run fails the terminal gets the log's errors and its end.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

# What verl and Ray print as a run gets going, and what it means to somebody who waits.
MILESTONES = (
    ("Started a local Ray instance", "Ray is up"),
    ("dataloader initialized", "data loaded"),
    ("actor and ref model engine initialized", "actor ready (FSDP)"),
    ("checkpoint engine manager initialized", "rollout engine ready (vLLM)"),
    ("repair engine ready", "repair engine ready (vLLM)"),
)
# Metrics worth a place in a step's line: (name, label, format).
STEP_METRICS = (
    ("critic/score/mean", "reward", "{:.2f}"),
    ("df/error_rate", "wrong", "{:.0%}"),
    ("df/repair_feasible_rate", "repaired", "{:.0%}"),
    ("df/edit_ratio/mean", "edited", "{:.0%}"),
    ("df/mask_truth/f1", "mask F1", "{:.2f}"),
    ("timing_s/step", "step", "{:.1f} s"),
)
TAIL_LINES = 60
_STEP = re.compile(r"\bstep:(\d+) - (.*)$")
_ERROR = re.compile(r"Error\b|Exception\b|^error:")


def describe(line: str) -> str | None:
    """The terminal's text for a log line, or None for a line that stays in the file."""
    for needle, meaning in MILESTONES:
        if needle in line:
            return meaning
    step = _STEP.search(line)
    if step:
        return describe_step(int(step[1]), step[2])
    return None


def describe_step(step: int, metrics: str) -> str:
    """One line for a step: verl prints its metrics as `name:value - name:value - ...`."""
    values = dict(item.rsplit(":", 1) for item in metrics.split(" - ") if ":" in item)
    parts = [f"{label} {form.format(_number(values[name]))}" for name, label, form in STEP_METRICS if name in values]
    accuracy = next((value for name, value in values.items() if _is_accuracy(name)), None)
    if accuracy is not None:
        parts.insert(0, f"held-out accuracy {_number(accuracy):.1%}")
    return f"step {step:3d}  " + "  ".join(parts)


def _is_accuracy(name: str) -> bool:
    return name.startswith("val-core/") and "/acc/mean@" in name


def _number(text: str) -> float:
    return float(text.removeprefix("np.float64(").rstrip(")"))


def follow(lines: Iterable[str], log: TextIO, out: TextIO) -> tuple[list[str], list[str]]:
    """Copy `lines` to `log` and tell `out` what they mean. Returns the log's error lines and its last lines."""
    start = time.monotonic()
    errors: deque[str] = deque(maxlen=TAIL_LINES)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    for line in lines:
        log.write(line)
        log.flush()
        tail.append(line)
        if _ERROR.search(line) and "UserWarning" not in line:
            errors.append(line)
        told = describe(line)
        if told:
            print(f"  [{time.monotonic() - start:4.0f} s] {told}", file=out, flush=True)
    return list(errors), list(tail)


def main() -> None:
    """Run the command after `--`; exits with its status."""
    parser = argparse.ArgumentParser(prog="python -m verl_df.progress", description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, required=True, help="file that receives everything")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("no command after --")
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    with (
        arguments.log.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as run,
    ):
        assert run.stdout is not None
        errors, tail = follow(run.stdout, log, sys.stdout)
    if run.returncode != 0:
        why = " (time limit)" if run.returncode == 124 else ""
        sys.stderr.writelines([*errors, "---- end of the log ----\n", *tail])
        sys.stderr.write(f"\nfailed with exit status {run.returncode}{why}; everything is in {arguments.log}\n")
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
