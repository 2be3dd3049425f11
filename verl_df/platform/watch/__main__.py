# SPDX-License-Identifier: Apache-2.0
"""Run a command so that it neither hangs nor ends without a word.

    python3 -m verl_df.platform.watch --log run.log --stall-limit 600 --go-on "bash quickstart.sh" -- COMMAND ...

The command's output goes on to this process's own, and to the log. Without output for longer than the limit it is
ended; then, and whenever it does not end well, a block on standard error says what ended, why, where the log is and how
to go on. On Ctrl-C or SIGTERM the command gets 20 s to end, and --stop-limit where it says that it will stop after
its step. In any case everything that the command started ends with it: see `processes`. It ends, too, when the script
or a process that the variable VERL_DF_END_WITH names does: see `parents`. Linux only.

Exit status: 124 after a stall, 130 after Ctrl-C, 128 + n after signal n, else the command's own.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from verl_df.platform.watch.parents import to_end_with
from verl_df.platform.watch.watcher import Settings, watch


def main() -> None:
    """Run the command after `--`."""
    parser = argparse.ArgumentParser(
        prog="python3 -m verl_df.platform.watch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--log", type=Path, required=True, help="receives everything; an older one becomes .previous")
    parser.add_argument("--stall-limit", type=float, required=True, help="seconds without output that are too many")
    parser.add_argument("--go-on", required=True, help="the command with which a user goes on")
    parser.add_argument("--script", type=int, default=os.getpid(), help="process id of a script to end with")
    parser.add_argument(
        "--kill-after", type=float, default=10.0, help="seconds between SIGTERM and SIGKILL (%(default)s)"
    )
    parser.add_argument(
        "--stop-limit",
        type=float,
        default=1800.0,
        help="seconds after Ctrl-C for a command that says it will stop after its step (%(default)s)",
    )
    parser.add_argument("--brief", action="store_true", help="the terminal gets a line for each step")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("no command after --")
    if arguments.stall_limit <= 0:
        parser.error(f"--stall-limit {arguments.stall_limit:g}: seconds, more than 0")
    try:
        others = to_end_with(os.environ)
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(
        log=arguments.log,
        limit=arguments.stall_limit,
        go_on=arguments.go_on,
        lifelines=(arguments.script, *others),
        kill_after=arguments.kill_after,
        stop_limit=arguments.stop_limit,
        brief=arguments.brief,
    )
    sys.exit(watch(command, settings))


if __name__ == "__main__":
    main()
