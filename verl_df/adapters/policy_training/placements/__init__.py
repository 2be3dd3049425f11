# SPDX-License-Identifier: Apache-2.0
"""Where the repair model runs: `df.repair.placement` names one of `registry.PLACEMENTS`, each a `Placement` as
`placement.py` says. docs/placements.md compares them.
"""
