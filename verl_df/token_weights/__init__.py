# SPDX-License-Identifier: Apache-2.0
"""Other methods' answers to the question which tokens get how much of the advantage: A^w_t = w_t · A_t, w_t ≥ 0.

One short file a method, each a function of the columns of a batch. Weights multiply the gate, so that a method can be
compared with Difference Feedback (`df.group.mode=off`) or put on top of it. Every loss that takes a gate is positively
homogeneous in the advantage, so a weight on the advantage is a weight on the token's loss. A neutral setting is the
base algorithm bit for bit.
"""
