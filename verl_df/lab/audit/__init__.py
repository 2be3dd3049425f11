# SPDX-License-Identifier: Apache-2.0
"""What the auditor found, and whether people agree with it.

`sample` draws audits for people to judge, `labelling` asks them in a terminal, `labels` keeps their answers, `figures`
and `report` say how often the auditor flags and how far it agrees with them.
"""
