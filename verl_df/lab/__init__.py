# SPDX-License-Identifier: Apache-2.0
"""The laboratory: what runs before training or after it, and nothing that training imports.

| folder | what it does |
| --- | --- |
| `data`, `repair_data` | data sets for the policy and for the repair model |
| `eval`, `audit` | how good a policy and a repair model are, and what the auditor found |
| `checkpoint` | merge, check and validate checkpoints |
| `report` | the page of a run |
| `toy`, `tiny`, `dry_run` | a toy world, tiny models of each architecture, a run checked without a GPU |
"""
