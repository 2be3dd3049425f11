# SPDX-License-Identifier: Apache-2.0
"""The recipe's entry point with `every_placement.EveryTaskRunner`."""

from recipe.df import main_df
from tests.e2e.every_placement import EveryTaskRunner

if __name__ == "__main__":
    main_df.DFTaskRunner = EveryTaskRunner
    main_df.main()
