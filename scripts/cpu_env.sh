# SPDX-License-Identifier: Apache-2.0
# Source this before a run on a machine without a GPU:  source scripts/cpu_env.sh
# The variables and the reason of each are in verl_df/platform/environment.py; what you have set yourself is kept.
# shellcheck shell=bash
_verl_df_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
eval "$(python3 "${_verl_df_root}/verl_df/platform/environment.py")"
unset _verl_df_root
