# SPDX-License-Identifier: Apache-2.0
"""Masks and gates of one's own responses, without training: `verl-df align` and `verl-df explain`."""
