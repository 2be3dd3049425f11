#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All checks: style, unit tests, end-to-end tests on the CPU platform. What CI runs.
#
# Usage: scripts/test.sh [--no-e2e] [pytest arguments]
#   scripts/test.sh --no-e2e           style and unit tests only (the quick loop)
#   scripts/test.sh -k gate -x         arguments go to both pytest runs
# TEST_TIME_LIMIT: seconds for each pytest run (default 4800). It is there because a vLLM worker that raises during a
# weight update leaves the run hanging for good.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

end_to_end=1
if [[ "${1:-}" == "--no-e2e" ]]; then
    end_to_end=0
    shift
fi
limit="${TEST_TIME_LIMIT:-4800}"

scripts/setup_env.sh cpu

.venv/bin/ruff check .
.venv/bin/ruff format --check .

# `timeout` signals pytest's whole process group. Ray's daemons leave that group, so they are found by a mark in their
# environment, which every child inherits and no other run's process carries.
export VERL_DF_TEST_RUN="$$-${RANDOM}${RANDOM}"
end_children() {
    local environment pid
    for environment in /proc/[0-9]*/environ; do
        pid="${environment//[^0-9]/}"
        if [[ "${pid}" != "$$" ]] && grep -qz "^VERL_DF_TEST_RUN=${VERL_DF_TEST_RUN}$" "${environment}" 2>/dev/null; then
            kill -KILL "${pid}" 2>/dev/null || true
        fi
    done
}
trap end_children EXIT

run_pytest() { # run_pytest ARGUMENTS: exit status 5 (nothing selected) counts as a pass
    local status=0
    timeout --kill-after=30 "${limit}" .venv/bin/python -m pytest "$@" || status=$?
    if [[ "${status}" == 124 ]]; then
        echo "test.sh: pytest ran past ${limit} s (TEST_TIME_LIMIT) and was ended" >&2
    fi
    [[ "${status}" == 0 || "${status}" == 5 ]] || exit "${status}"
}

run_pytest -m 'not e2e' -n 2 "$@"
if [[ "${end_to_end}" == 1 ]]; then
    run_pytest -m e2e --durations=0 --durations-min=10 "$@"
fi
