# SPDX-License-Identifier: Apache-2.0
"""verl's FSDP checkpoints after training: merged to a Hugging Face folder, checked against the trained actor, and their
validation repeated. See docs/checkpoints.md. Commands: `verl-df checkpoint --help`.
"""
