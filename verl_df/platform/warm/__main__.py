# SPDX-License-Identifier: Apache-2.0
"""`python -m verl_df.platform.warm [stop]`: list this user's warm interpreters, or end them."""

import sys
from pathlib import Path

from verl_df.platform.warm import client, running, stop


def main() -> None:
    """List or end."""
    folder = Path(client.folder())
    if sys.argv[1:] == ["stop"]:
        print(f"ended {stop(folder)} in {folder}")
    elif not sys.argv[1:]:
        for pid, path in running(folder):
            print(f"process {pid}, log {path.with_suffix('.log')}")
    else:
        sys.exit("usage: python -m verl_df.platform.warm [stop]")


if __name__ == "__main__":
    main()
