# SPDX-License-Identifier: Apache-2.0
"""What DF adds to a step of training, as ratios of runs that take turns, in one call.

    .venv/bin/python scripts/bench/steps.py off [--rounds 4] [--steps 6] [--json FILE.json]
    .venv/bin/python scripts/bench/steps.py df  [--rounds 4] [--steps 6] [--json FILE.json]

After the quickstart: the toy's policy, with a learning rate of 0, so that every step samples from the same policy. Each
round starts every variant once, every second round in the opposite order, and takes STEPS steps of it after a first one
that is not counted.

| what | variants |
| --- | --- |
| off | stock verl's GRPO; DF-GRPO with df.group.mode=off |
| df | stock verl's GRPO; repairs in a phase of their own, decoded plainly; the same with drafts (the default); repairs streamed to a dedicated engine on the same cores while others are sampled |

Printed for each variant: the median step in seconds, and its ratio to the first variant's, the median over rounds with
the lowest and the highest. For `df` also what the paper predicts (Eq. 29): the share of wrong rollouts times what
decoding costs, taken as the first variant's sampling time for each of df.repair.n samples; and DF's extra time as a share
of that.
"""  # noqa: E501

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from verl_df.io.metrics import parse_metrics  # noqa: E402

SCRIPT = ROOT / "examples/toy/run_toy_qwen2_5_vl.sh"
QUIET = ("trainer.val_before_train=False", "trainer.test_freq=-1", "trainer.save_freq=-1", "df.log.pairs_per_step=0")
SAMPLES = 2  # df.repair.n, set in every variant that repairs
DEDICATED = ("df.repair.placement=dedicated", "ray_kwargs.ray_init.num_gpus=2")  # the trainer's stand-in, and one more


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    name: str
    algorithm: str
    overrides: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


STOCK = Variant("stock verl", "grpo")
VARIANTS = {
    "off": (STOCK, Variant("DF off", "df_grpo", ("df.group.mode=off",))),
    "df": (
        STOCK,
        Variant("phase, plain", "df_grpo", (f"df.repair.n={SAMPLES}", "df.repair.speculation=off")),
        Variant("phase, drafts", "df_grpo", (f"df.repair.n={SAMPLES}",)),
        Variant("streamed, drafts", "df_grpo", (f"df.repair.n={SAMPLES}", *DEDICATED)),
    ),
}


@dataclass(frozen=True)
class Steps:
    """What one start of a variant measured: a value for each step, in seconds; wrong: the share of wrong rollouts."""

    step: list[float]
    sampling: list[float]
    wrong: list[float]


def run(variant: Variant, steps: int) -> Steps:
    """Train for `steps` steps and one more. Raises: SystemExit where the run fails, with the end of its log."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"ALGO": variant.algorithm, "OUT": folder, "LR": "0", "STEPS": str(steps + 1)}
        environment |= dict(variant.environment)
        ours = variant.algorithm != STOCK.algorithm
        overrides = [one for one in (*QUIET, *variant.overrides) if ours or not one.startswith("df.")]
        done = subprocess.run(["bash", str(SCRIPT), *overrides], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{variant.name} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    counted = [metrics for step, metrics in map(parse_metrics, lines) if step > 1]
    return Steps(
        [metrics["timing_s/step"] for metrics in counted],
        [metrics["timing_s/gen"] for metrics in counted],
        [metrics["df/error_rate"] for metrics in counted if "df/error_rate" in metrics],
    )


def ratios(found: Sequence[Steps], base: Sequence[Steps]) -> list[float]:
    """Of the median step, round by round."""
    pairs = zip(found, base, strict=True)
    return [statistics.median(ours.step) / statistics.median(theirs.step) for ours, theirs in pairs]


def report(variants: Sequence[Variant], found: dict[str, list[Steps]]) -> None:
    """Print the table."""

    def median(name: str, field: str) -> float:
        return statistics.median(value for one in found[name] for value in getattr(one, field))

    print("| variant | step | ratio | lowest to highest | extra | Eq. 29 | extra / Eq. 29 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    base = variants[0].name
    for variant in variants:
        step, each = median(variant.name, "step"), ratios(found[variant.name], found[base])
        row = f"| {variant.name} | {step:.2f} | {statistics.median(each):.3f} | {min(each):.3f} to {max(each):.3f} |"
        extra = step - median(base, "step")
        if not found[variant.name][0].wrong:
            print(f"{row} {extra:.2f} | | |")
            continue
        predicted = median(variant.name, "wrong") * SAMPLES * median(base, "sampling")
        print(f"{row} {extra:.2f} | {predicted:.2f} | {extra / predicted:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    variants = VARIANTS[arguments.what]
    found: dict[str, list[Steps]] = {variant.name: [] for variant in variants}
    for number in range(arguments.rounds):
        for variant in variants[:: -1 if number % 2 else 1]:
            found[variant.name].append(run(variant, arguments.steps))
            print(f"round {number + 1}, {variant.name}: {statistics.median(found[variant.name][-1].step):.2f} s a step")
    report(variants, found)
    if arguments.json:
        content = {name: [asdict(steps) for steps in runs] for name, runs in found.items()}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
