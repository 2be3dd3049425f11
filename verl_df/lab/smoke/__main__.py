# SPDX-License-Identifier: Apache-2.0
"""A part of scripts/gpu_smoke.sh, or the table of all.

python -m verl_df.lab.smoke engines --out FOLDER [--cpu]
python -m verl_df.lab.smoke table --out FOLDER
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from verl_df.lab.markdown import markdown_table

# name: what it shows
PARTS = {
    "imports": "the environment is whole, the machine is fit",
    "engines": "two engines sleep and wake in turn, and neither changes the other",
    "grpo": "two steps of DF-GRPO: rollout against actor, repairs, update",
    "packed": "packed rows have the log-probabilities of padded ones",
    "gspo": "two steps of DF-GSPO, saved, merged and checked",
    "lora": "two steps with adapters: the base sleeps, the adapter travels",
    "internvl": "two steps of InternVL",
    "empty_rank": "a rank without pictures does not keep the others waiting",
}


def run_part(name: str, folder: Path, gpu: bool) -> bool:
    """Run it, print and write what it found. Returns whether it passed."""
    from verl_df.lab.smoke import runs
    from verl_df.lab.smoke.settings import Shared

    start, shared = time.monotonic(), Shared(folder, gpu)
    outcome = runs.run(name, shared) if name in runs.RUNS else _module(name).run(shared)
    outcome.figures["seconds"] = time.monotonic() - start
    outcome.write(folder)
    print(f"{name}: {PARTS[name]}", *outcome.lines(), sep="\n", flush=True)
    return outcome.passed


def _module(name: str):
    return importlib.import_module(f"verl_df.lab.smoke.{name}")


def table(folder: Path) -> str:
    """The parts that left a file, as Markdown, and smoke.json with all of them."""
    files = [folder / f"{name}.json" for name in PARTS if (folder / f"{name}.json").exists()]
    parts = [json.loads(file.read_text()) for file in files]
    (folder / "smoke.json").write_text(json.dumps(parts, indent=1) + "\n")
    rows = [
        (
            part["part"],
            "passed" if part["passed"] else "FAILED",
            f"{part['figures'].get('seconds', 0):.0f}",
            ", ".join(
                f"{name} {value:.3g}" for name, value in part["figures"].items() if "mem" in name or "gib" in name
            ),
        )
        for part in parts
    ]
    return markdown_table(("part", "", "seconds", "memory"), rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "table"])
    parser.add_argument("--out", type=Path, required=True, help="folder of models, runs and results")
    parser.add_argument("--cpu", action="store_true", help="without a GPU, with tiny models")
    arguments = parser.parse_args()
    if arguments.part == "table":
        print(table(arguments.out))
        return 0
    return int(not run_part(arguments.part, arguments.out.resolve(), gpu=not arguments.cpu))


if __name__ == "__main__":
    sys.exit(main())
