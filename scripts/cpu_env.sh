# SPDX-License-Identifier: Apache-2.0
# Source this before a run on a machine without a GPU:  source scripts/cpu_env.sh
# The variables and the reason of each are in verl_df/platform/environment.py; what you have set yourself is kept.
# PYTHON, the interpreter to start (default: the project's .venv), becomes one that starts warm (verl_df/platform/warm), unless
# you have set VERL_DF_WARM=0.
# shellcheck shell=bash
_verl_df_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
eval "$(python3 "${_verl_df_root}/verl_df/platform/environment.py")"
_verl_df_warm="${_verl_df_root}/verl_df/platform/warm/python"
if [[ ${PYTHON:-} == "${_verl_df_warm}" ]]; then
    PYTHON=${VERL_DF_PYTHON} # sourced a second time
fi
PYTHON="${PYTHON:-${_verl_df_root}/.venv/bin/python}"
if [[ ${VERL_DF_WARM:-1} == 0 ]]; then
    unset VERL_DF_PYTHON
else
    VERL_DF_PYTHON="$(cd "$(dirname "$(command -v "${PYTHON}")")" && pwd)/$(basename "${PYTHON}")"
    export VERL_DF_PYTHON
    PYTHON=${_verl_df_warm}
fi
unset _verl_df_root _verl_df_warm
