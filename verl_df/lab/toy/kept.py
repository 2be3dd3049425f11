# SPDX-License-Identifier: Apache-2.0
"""The kept world: base policy, repair model, its stage 1 and the repair tasks, trained once, as files.

Trained anew, the policy depends on the processor: its greedy accuracy was 44.5% on one kind and 48.4% on another. From
the files every machine starts with the same one.
"""

import hashlib
import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

KEPT = Path(__file__).parents[3] / "examples/toy/world"
FOLDERS = {"count": KEPT, "chain": KEPT.with_name("world_chain")}
PARTS = ("policy", "repair", "stage1", "repair_tasks", "evaluation.json")
SUMS = "SHA256SUMS"
DISTRIBUTIONS = ("torch", "transformers", "verl", "numpy", "pillow")


def place(out: Path, kept: Path = KEPT) -> str:
    """Copy the kept world into `out`, each file checked against its hash. Returns a line for the user.

    A world that was built in `out` stays as it is.

    Raises:
        ValueError: a file of the repository is not the one that was kept, or `out` holds half of a world.
        FileNotFoundError: one is missing; an installed package does not bring them, a checkout does.
    """
    if not (kept / SUMS).is_file():
        raise FileNotFoundError(
            f"{kept / SUMS} is missing: only a checkout has it, and for the first world; else "
            "train the models with `verl-df toy all`"
        )
    built = {name: (out / ".stamps" / name).is_file() for name in ("policy", "repair-tasks", "repair")}
    if all(built.values()):
        return "a world was built here: left as it is"
    if any(built.values()):
        raise ValueError(
            f"{out} holds a world that is half built: finish it with `bash examples/toy/build_world.sh {out}`, or name "
            "another folder"
        )
    sums = read_sums(kept / SUMS)
    stamp = out / ".stamps/kept"
    if stamp.is_file() and stamp.read_text() == str(sums) and all((out / name).is_file() for name in sums):
        return "up to date"
    for name, expected in sums.items():
        if sha256(kept / name) != expected:
            raise ValueError(f"{kept / name} is not the file that {kept / SUMS} names: restore it (`git checkout`)")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept / name, out / name)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(str(sums))
    return f"{len(sums)} files from {kept}"


def keep(out: Path, kept: Path = KEPT) -> str:
    """Make the world that was built in `out` the kept one: its files, their hashes, and what they were made with.

    Raises:
        FileNotFoundError: a part is missing in `out`; build it first.
    """
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (out / part).is_dir() else shutil.copyfile
        copy(out / part, kept / part)
    files = sorted(path for path in kept.rglob("*") if path.is_file())
    lines = [f"{sha256(path)}  {path.relative_to(kept)}\n" for path in files]
    (kept / SUMS).write_text("".join(lines))
    versions = {name: version(name) for name in DISTRIBUTIONS}
    made_with = {"python": platform.python_version(), "processor": processor(), **versions}
    (kept / "made_with.json").write_text(json.dumps(made_with, indent=1) + "\n")
    return f"{len(files)} files in {kept}"


def processor() -> str:
    """Its model name, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def read_sums(path: Path) -> dict[str, str]:
    """Hash by file, of a file that `sha256sum -c` reads."""
    pairs = [line.split("  ", maxsplit=1) for line in path.read_text().splitlines()]
    return {name: digest for digest, name in pairs}


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
