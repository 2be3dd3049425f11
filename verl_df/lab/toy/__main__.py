# SPDX-License-Identifier: Apache-2.0
"""Build the toy world by stages: `verl-df toy STAGE [STAGE ...] --out DIR`.

| stage | writes |
| --- | --- |
| `model` | `init/`: a random Qwen2.5-VL with tokenizer and processor |
| `data` | `data/train.parquet`, `data/val.parquet`: RL rows |
| `clips` | `clips/train.parquet`, `clips/val.parquet`: RL rows with short videos instead of pictures |
| `policy-data` | `sft/policy.parquet`: the policy's SFT rows |
| `policy` | `policy/`: the base policy, trained by verl's SFT trainer |
| `repair-data` | `sft/repair.parquet`: the repair set, from the policy's real errors |
| `repair-tasks` | `repair_tasks/train.parquet`, `repair_tasks/val.parquet`: tasks of the repair model's RL |
| `repair` | `repair/`: the repair model, trained from the policy by verl's SFT trainer |
| `stage1` | `stage1/`: that model after repairs that overlook errors; where the repair model's RL starts |
| `evaluate` | `evaluation.json`: figures of both models, printed as tables |
| `all` | all of them but `stage1` and `clips`, in this order |
| `kept` | the models and repair tasks of examples/toy/world, instead of training them; `data` is still to be made |
| `keep` | examples/toy/world, from what was built in the folder |

There are two worlds (docs/worlds.md): `--world chain` is the second. No models of it are kept yet.

A stage whose outputs are there, built with the same settings and code, is skipped.

    verl-df toy data kept --out outputs/toy
    verl-df toy all
    verl-df toy all --world chain
"""

import argparse
import sys
import time
from pathlib import Path

from verl_df import cli
from verl_df.io.lock import only_writer
from verl_df.lab.toy.build import STAGES, WORLD, build_stage
from verl_df.lab.toy.kept import FOLDERS, keep, place
from verl_df.lab.toy.settings import WORLDS

KEPT = {"kept": place, "keep": keep}


def run(arguments: argparse.Namespace) -> None:
    """Run the stages that are named."""
    settings, folder = WORLDS[arguments.world], FOLDERS[arguments.world]
    out = arguments.out or Path("outputs") / folder.name.replace("world", "toy")
    for name in (one for stage in arguments.stages for one in (WORLD if stage == "all" else [stage])):
        started = time.monotonic()
        with only_writer(out):
            result = KEPT[name](out, folder) if name in KEPT else build_stage(name, out, settings)
        print(f"[toy] {name}: {result} ({time.monotonic() - started:.0f} s)", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("stages", nargs="+", choices=[*STAGES, "all", *KEPT], metavar="STAGE")
    parser.add_argument("--world", choices=WORLDS, default="count", help="which of the two worlds (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the world (outputs/toy, or outputs/toy_chain)")


if __name__ == "__main__":
    sys.exit(cli.main(["toy", *sys.argv[1:]]))
