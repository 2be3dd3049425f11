# SPDX-License-Identifier: Apache-2.0
# What scripts/setup_env.sh needs for the target gpu: a check of the driver before anything is downloaded, flash-attn, and
# imports at the end, so that a wrong machine fails in the first minute and not in the first run. To be sourced.

# torch 2.11's wheels are built for CUDA 13.0, whose oldest driver is of the 580 series.
DRIVER=580
# verl's wheels of flash-attn, which its own lock file names: for Python 3.12 on x86_64, this torch and CUDA.
FLASH_ATTN_INDEX="${FLASH_ATTN_INDEX:-https://verl-project.github.io/verl-wheelhouse/simple/}"

check_driver() {
    local found
    if ! found="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)" || [[ -z "${found}" ]]; then
        echo "setup_env.sh: nvidia-smi names no GPU; for a machine without one write 'scripts/setup_env.sh cpu'" >&2
        exit 2
    fi
    if ((${found%%.*} < DRIVER)) && [[ -z "${CUDA_FORWARD_COMPAT:-}" ]]; then
        echo "setup_env.sh: the driver is ${found}; CUDA 13, for which torch $(pin torch | cut -d= -f3) is built, needs ${DRIVER} or newer." >&2
        echo "setup_env.sh: install a newer driver, or NVIDIA's package cuda-compat-13-0 and set CUDA_FORWARD_COMPAT=1" >&2
        exit 2
    fi
    echo "setup_env.sh: driver ${found}, $(nvidia-smi --query-gpu=name --format=csv,noheader | sort | uniq -c | xargs)"
}

# flash-attn's own set-up looks for a wheel of CUDA 12 and compiles when there is none, for four architectures.
install_flash_attn() {
    install "$(pin torch)" ninja packaging psutil wheel # its build looks at the torch of this environment
    if install --no-deps --only-binary flash-attn --extra-index-url "${FLASH_ATTN_INDEX}" "$(pin flash-attn)"; then
        return
    fi
    local capability jobs memory
    capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sort -u | tr -d . | paste -sd';')"
    memory="$(awk '/MemAvailable/ { print int($2 / 8e6) }' /proc/meminfo)" # a job of the compiler takes up to 8 GB
    jobs=$((memory < 1 ? 1 : memory < $(nproc) ? memory : $(nproc)))
    export FLASH_ATTN_CUDA_ARCHS="${FLASH_ATTN_CUDA_ARCHS:-${capability}}" MAX_JOBS="${MAX_JOBS:-${jobs}}"
    if ! "${CUDA_HOME:+${CUDA_HOME}/bin/}nvcc" --version >/dev/null 2>&1; then
        echo "setup_env.sh: no wheel of flash-attn fits this Python (the index has 3.12 on x86_64), and there is no nvcc to compile it:" >&2
        echo "setup_env.sh: put python3.12 on the path, or install the CUDA 13 toolkit and set CUDA_HOME" >&2
        exit 2
    fi
    echo "setup_env.sh: no wheel of flash-attn fits: compiling for FLASH_ATTN_CUDA_ARCHS=${FLASH_ATTN_CUDA_ARCHS} with MAX_JOBS=${MAX_JOBS}"
    echo "setup_env.sh: (10 to 20 minutes with 32 jobs, hours with 8; another package index: FLASH_ATTN_INDEX)"
    install --no-build-isolation-package flash-attn "$(pin flash-attn)"
}

import_everything() {
    echo "setup_env.sh: importing what a run needs"
    .venv/bin/python - <<'END'
import torch

torch.cuda.init()
import flash_attn  # noqa: E402
import transformers  # noqa: E402
import verl  # noqa: E402
import vllm  # noqa: E402

from verl_df import plugin  # noqa: E402

plugin.require_loaded()
print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.device_count()} x {torch.cuda.get_device_name()}")
print(f"vllm {vllm.__version__}, verl {verl.__version__}, transformers {transformers.__version__}, flash-attn {flash_attn.__version__}")
END
}
