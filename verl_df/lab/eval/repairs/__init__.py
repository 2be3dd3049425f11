# SPDX-License-Identifier: Apache-2.0
"""How good a repair model is, on held-out wrong responses, before any GPU hour goes into the policy.

`tasks` reads what is to be repaired, `run` samples and judges repairs and the two baselines, `records` is what is kept,
`outcomes` and `figures` are pure functions of the records, `report`, `compare` and `sweep` show finished evaluations.
"""
