# SPDX-License-Identifier: Apache-2.0
"""Difference Feedback for verl."""

from verl_df import moved

__version__ = "0.1.0"

moved.install()
