# SPDX-License-Identifier: Apache-2.0
"""Look into a run, also while it trains: its pairs token by token, its curves, what it did not use, red flags.

verl-df inspect outputs/toy/df_grpo                      serves the page on this machine only; Ctrl-C ends it
verl-df inspect RUN --export run.html                    one file that needs neither server nor network
ssh -L 8377:127.0.0.1:8377 HOST verl-df inspect RUN      a run on another machine
"""

import argparse
import sys
from pathlib import Path

from verl_df import cli
from verl_df.lab.inspect.export import export_page
from verl_df.lab.inspect.server import InspectServer

DEFAULT_PORT = 8377


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder with metrics.jsonl, pairs.jsonl and images/")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write one HTML file instead of serving the page")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="of the server, 0 for a free one (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, or write it."""
    if arguments.export is not None:
        export_page(arguments.run, arguments.export)
        print(f"wrote {arguments.export} ({arguments.export.stat().st_size / 1024:.0f} KiB)")
        return
    if not 0 <= arguments.port < 1 << 16:
        raise ValueError(f"--port {arguments.port}: 0 to 65535")
    with InspectServer(arguments.run, arguments.port) as server:
        print(f"{arguments.run} is open at {server.address} (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    sys.exit(cli.main(["inspect", *sys.argv[1:]]))
