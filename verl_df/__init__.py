# SPDX-License-Identifier: Apache-2.0
"""Difference Feedback for verl."""

__version__ = "0.1.0"
