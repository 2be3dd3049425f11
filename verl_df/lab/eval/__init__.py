# SPDX-License-Identifier: Apache-2.0
"""Evaluation: sample responses, judge them, keep each as a JSON line, and make figures with intervals.

| module | what it does |
| --- | --- |
| `run`, `problems`, `settings`, `server` | benchmarks: accuracy of a policy |
| `repairs` | how good a repair model is |
| `folder`, `records`, `finished` | the files of an evaluation |
| `figures`, `intervals`, `summary`, `tables`, `compare`, `plots` | numbers from finished evaluations |
| `library`, `lmms_worker` | lmms-eval's scores of the same responses |

What asks, judges and keeps is `verl_df.lab.engine`. The validation of a checkpoint (`verl_df.lab.checkpoint.answer`) is
a task of it, too, and the toy (`verl_df.lab.toy.evaluate`) samples by the same protocol.
"""
