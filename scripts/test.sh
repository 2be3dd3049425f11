#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All checks: style, types, unit tests, end-to-end tests on the CPU platform. What CI runs.
#
# Usage: scripts/test.sh [--no-e2e] [pytest arguments]
#   scripts/test.sh --no-e2e           style, types and unit tests only (the quick loop)
#   scripts/test.sh -k gate -x         arguments go to both pytest runs
# TEST_STALL_LIMIT: seconds without output after which a pytest run is ended (default 3000). An end-to-end test may be
# silent for as long as pytest-timeout lets it (tests/conftest.py), and this limit is for what that one cannot end. With
# each pytest run everything ends that it started, Ray's daemons included.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/watch.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

end_to_end=1
if [[ "${1:-}" == "--no-e2e" ]]; then
    end_to_end=0
    shift
fi
if [[ -n "${TEST_TIME_LIMIT:-}" ]]; then
    echo "test.sh: TEST_TIME_LIMIT=${TEST_TIME_LIMIT} has no effect: the limit is TEST_STALL_LIMIT now" >&2
fi

scripts/setup_env.sh cpu

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy

run_pytest() { # run_pytest LOG ARGUMENTS: exit status 5 (nothing selected) counts as a pass
    "${WATCH[@]}" --stall-limit "${TEST_STALL_LIMIT:-3000}" --log "outputs/tests/$1" -- \
        bash -c '"$@" || { status=$?; [[ $status == 5 ]] || exit $status; }' pytest .venv/bin/python -m pytest "${@:2}"
}

run_pytest unit.log -m 'not e2e' -n 2 "$@"
if [[ "${end_to_end}" == 1 ]]; then
    # two runs at a time; tests that share a start stay together (tests/conftest.py)
    run_pytest e2e.log -m e2e -n 2 --dist loadscope --durations=0 --durations-min=10 "$@"
fi
