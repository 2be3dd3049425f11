# SPDX-License-Identifier: Apache-2.0
"""The method itself, one prompt group at a time: no torch, no ray, no verl.

In the order in which data flows: `group` (what to repair), `repair` (which candidate to keep), `alignment` (the
two-sided masks), `gates` (the gate from a mask), then `records` and `metrics` for what a run leaves behind. Nothing
here keeps state between calls, so a group gives the same result alone or among others, early or late in a step.
"""
