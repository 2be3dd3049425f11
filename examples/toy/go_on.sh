# SPDX-License-Identifier: Apache-2.0
# Sourced by the runs of reinforcement learning on the toy world, which set OUT. A run that was interrupted goes on from its
# newest checkpoint; one that is finished, or had other settings, starts over.

RUNTIME=(${VERL_DF_PYTHON:+"+ray_kwargs.ray_init.runtime_env.py_executable=$PYTHON"})     # Ray's start warm, too
export VERL_FILE_LOGGER_PATH="$OUT/metrics.jsonl" TENSORBOARD_DIR="$OUT/tensorboard"
mkdir -p "$OUT"

# go_on_or_start_over FILE... -- OVERRIDE...
# Prepares OUT/checkpoints for verl's trainer.resume_mode=auto. FILE: what the run reads beside its settings.
# Sets FINISHED: 1 when OUT/checkpoints held a finished run of the same settings. With KEEP_FINISHED=1 that stays, else it
# is removed.
go_on_or_start_over() {
    local folder=$OUT/checkpoints last steps=0 stamp one files=(recipe/df/config/run/{toy,cpu,cpu_critic}.yaml)
    while [[ $1 != -- ]]; do files+=("$1") && shift; done
    shift
    FINISHED=0
    for one in "$@"; do
        case $one in
            trainer.resume_mode=auto) ;;
            trainer.resume_* | trainer.default_local_dir=*) [[ $one == "trainer.default_local_dir=$folder" ]] || return 0 ;;
            trainer.total_training_steps=*) steps=${one#*=} ;;
        esac
    done
    # a file that is missing is for the run to complain of, which knows what makes it
    stamp=$({ printf '%s\n' "$@" && cat "${files[@]}" 2>/dev/null || true; } | sha256sum)
    last=$(cat "$folder/latest_checkpointed_iteration.txt" 2>/dev/null || true)
    mkdir -p "$folder"
    if [[ -z $(ls -A "$folder") ]]; then
        :
    elif [[ $(cat "$folder/stamp" 2>/dev/null || true) != "$stamp" ]]; then
        start_over "the run in $OUT had other settings, or its inputs have changed"
    elif [[ ! $last =~ ^[0-9]+$ || ! -d $folder/global_step_$last ]]; then
        start_over "the run in $OUT ended before its first checkpoint"
    elif ((last < steps)); then
        echo "$0: going on after step $last of $steps, from $folder" >&2
        find "$folder/" -maxdepth 1 -name 'global_step_*' ! -name "global_step_$last" -exec rm -rf {} +  # half written ones
    elif [[ ${KEEP_FINISHED:-0} == 1 ]]; then
        FINISHED=1
    else
        start_over "the run in $OUT is finished ($last steps)"
    fi
    [[ -e $folder/stamp ]] || echo "$stamp" >"$folder/stamp"
}

start_over() {
    echo "$0: $1: starting over" >&2
    find "$OUT/checkpoints/" -mindepth 1 -delete    # not the folder, which may lead to another disk
}
