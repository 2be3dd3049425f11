# SPDX-License-Identifier: Apache-2.0
"""A run checked from its command line on, without a GPU, a download or Ray.

    verl-df check recipe.df.main_df key=value ...        or DRY_RUN=1 before a launch script

Models and data that are not on this machine are replaced by tiny ones of the same architecture, the config is built and
checked by the run's own checks and by verl's, sizes that must divide or fit are compared, and what a step amounts to is
printed.
"""
