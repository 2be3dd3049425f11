# SPDX-License-Identifier: Apache-2.0
"""The old name of `verl-df check`, which goes on working."""

import sys

from verl_df import cli

if __name__ == "__main__":
    print("note: `python -m recipe.df.dry_run` is `verl-df check` now", file=sys.stderr)
    sys.exit(cli.main(["check", *sys.argv[1:]]))
