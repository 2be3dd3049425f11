# SPDX-License-Identifier: Apache-2.0
# Source this, before any `cd`, in a script whose commands must neither hang nor end without a word:
#   "${WATCH[@]}" --log FILE -- COMMAND ...       (verl_df/platform/watch/__main__.py says what it does)
# STALL_LIMIT: seconds without output after which a command is ended (default 600; a failed vLLM or Ray worker can hang a
# run for good). STOP_LIMIT: seconds that a training run gets after Ctrl-C or SIGTERM to finish its step and save (default
# 1800; a second Ctrl-C ends it at once). The way to go on that a message names is the command that the user typed, with the variables that the
# environment sets of those that the scripts leave to the user. A script that starts others of these exports
# VERL_DF_GO_ON and VERL_DF_SCRIPT.
# shellcheck shell=bash
if [[ -n ${TIME_LIMIT:-} ]]; then
    echo "$(basename "$0"): TIME_LIMIT=${TIME_LIMIT} has no effect: the limit is STALL_LIMIT now, seconds without output" >&2
fi
if [[ -z ${VERL_DF_GO_ON:-} ]]; then
    _verl_df_root="$(dirname "${BASH_SOURCE[0]}")/.."
    VERL_DF_GO_ON=""
    _verl_df_names="$(sed -nE 's/.*\b([A-Z_]+)=\$\{\1:-.*/\1/p' "${_verl_df_root}"/{scripts,examples,examples/toy}/*.sh)"
    for _verl_df_name in $(compgen -e | grep -xF "${_verl_df_names}" || true); do
        VERL_DF_GO_ON+="${_verl_df_name}=$(printf '%q' "${!_verl_df_name}") "
    done
    VERL_DF_GO_ON+="bash $(printf '%q ' "$0" "$@")"
    VERL_DF_GO_ON="${VERL_DF_GO_ON% }"
    VERL_DF_SCRIPT=$$
    unset _verl_df_root _verl_df_names _verl_df_name
fi
STALL_LIMIT=${STALL_LIMIT:-600}
STOP_LIMIT=${STOP_LIMIT:-1800}
WATCH=(python3 -m verl_df.platform.watch --stall-limit "${STALL_LIMIT}" --stop-limit "${STOP_LIMIT}"
    --go-on "${VERL_DF_GO_ON}" --script "${VERL_DF_SCRIPT}")
