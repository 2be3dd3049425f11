# SPDX-License-Identifier: Apache-2.0
"""A first look at a GPU: what a launch needs, tried on one card in minutes, with models built on the spot.

    bash scripts/gpu_smoke.sh               all parts, within nine minutes, without a network
    bash scripts/gpu_smoke.sh gspo lora     some of them
    bash scripts/gpu_smoke.sh --cpu         as much as has no need of a GPU, with tiny models

Each part is a process of its own, checks what it measured against limits, and leaves a JSON file.
"""
