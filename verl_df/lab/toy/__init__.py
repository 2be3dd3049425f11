# SPDX-License-Identifier: Apache-2.0
"""The toy world: a small visual counting task that a tiny Qwen2.5-VL learns in minutes on two CPU cores.

Everything about it is exact by construction: the picture's grid gives the right answer, every wrong token of a
well-formed response, and the exact repair, so the masks of difference feedback can be scored against the truth.
"""
