# SPDX-License-Identifier: Apache-2.0
"""What a line of a run's log means to somebody who waits."""

from __future__ import annotations

import re

from verl_df.platform.watch.ending import WILL_STOP

# What verl and Ray print as a run gets going, and what it means to somebody who waits.
MILESTONES = (
    ("Started a local Ray instance", "Ray is up"),
    ("dataloader initialized", "data loaded"),
    ("actor and ref model engine initialized", "actor ready (FSDP)"),
    ("checkpoint engine manager initialized", "rollout engine ready (vLLM)"),
    ("repair engine ready", "repair engine ready (vLLM)"),
    (WILL_STOP, f"{WILL_STOP}; press Ctrl-C again to end now"),
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
_STEP = re.compile(r"\bstep:(\d+) - (.*)$")


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
