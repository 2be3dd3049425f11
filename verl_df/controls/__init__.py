# SPDX-License-Identifier: Apache-2.0
"""Controls: what is trained on when one part of the method is replaced (`df.control.kind`).

A control answers a question about the method, for instance whether a random mask of the same size does as well. Rows,
rewards and advantages are those of the objective unless the control says otherwise, and a control changes nothing when
it is off.
"""
