# SPDX-License-Identifier: Apache-2.0
"""Tests of verl_df."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
