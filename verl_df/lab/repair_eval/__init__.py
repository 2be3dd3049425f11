# SPDX-License-Identifier: Apache-2.0
"""How good a repair model is, on held-out wrong responses, before any GPU hour goes into the policy.

`tasks` reads what is to be repaired, `sampling` generates, `records` is what is kept, `figures` are pure functions of
the records, `tables` and `plot` show them, `compare` and `sweep` set finished evaluations side by side.
"""
