# SPDX-License-Identifier: Apache-2.0
"""What the agent loop of the repair model hands to its reward manager, in verl's `extra_fields`."""

COUNTERFACTUAL = "df_counterfactual"  # token ids of the repair without the image; None: switched off, or it failed
COUNTERFACTUAL_FAILED = "df_counterfactual_failed"  # whether it ran past its time limit
