# SPDX-License-Identifier: Apache-2.0
"""Settings of the unit tests."""

from hypothesis import HealthCheck, settings

# Both are wall-clock time: on a busy machine they fail tests that are right.
settings.register_profile("verl_df", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("verl_df")
