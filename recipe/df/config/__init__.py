# SPDX-License-Identifier: Apache-2.0
"""Hydra's files of the recipe. A package, so that stock verl finds them: `hydra.searchpath=[pkg://recipe.df.config]`."""
