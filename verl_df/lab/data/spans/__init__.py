# SPDX-License-Identifier: Apache-2.0
"""Public responses whose wrong characters are known, as rollouts of `verl-df explain` and `audit-weights`.

`vicrit` and `visualprocessbench` know the sources, `convert` writes the files, `reward` judges a repaired caption.
"""
