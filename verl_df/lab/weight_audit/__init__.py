# SPDX-License-Identifier: Apache-2.0
"""Do weights of tokens point at the tokens that are wrong? Measured on one checkpoint, before anything is trained.

`batch` samples responses of a toy world, whose wrong tokens are known, `passes` asks the policy for what weights are
computed from, `sources` computes the weights of every method, `figures` compares them with the truth, `run` writes the
tables.
"""
