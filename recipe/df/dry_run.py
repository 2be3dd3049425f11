# SPDX-License-Identifier: Apache-2.0
"""The old name of `verl-df check`, which goes on working."""

import sys

from verl_df.lab.dry_run.__main__ import main

if __name__ == "__main__":
    print("note: `python -m recipe.df.dry_run` is `verl-df check` now", file=sys.stderr)
    sys.exit(main(sys.argv[1:]))
