# SPDX-License-Identifier: Apache-2.0
"""Settings of the unit tests."""

from hypothesis import settings

# The time limit per example is wall-clock time: on a busy machine it fails tests that are right.
settings.register_profile("verl_df", deadline=None)
settings.load_profile("verl_df")
