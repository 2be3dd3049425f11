# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a policy on benchmarks: sample, score by each benchmark's published rule, compare runs.

`score` is a reward function, so that verl's own validation and this evaluation count alike; `rules` holds the rule of
each benchmark. `run` samples and keeps every response, `sampling` and `server` are what answers, `library` asks
lmms-eval for its scores; `figures`, `tables`, `compare` and `plot` turn finished evaluations into numbers.
"""
