# SPDX-License-Identifier: Apache-2.0
"""Accuracy of policies on benchmarks.

    verl-df eval run --model df_gspo=MODEL --data mathvista=mathvista.parquet --out DIR
    verl-df eval run --checkpoint toy=RUN/checkpoints --data toy=val.parquet --greedy --out DIR
    verl-df eval score --run DIR --python LMMS_EVAL/bin/python
    verl-df eval table --run gspo=DIR1,DIR2 --run df_gspo=DIR3,DIR4 --out DIR
    verl-df eval compare --a df_gspo=DIR3,DIR4 --b gspo=DIR1,DIR2 --out DIR

`run` keeps every response and goes on where it was ended; the others compute from what it kept.
"""

import sys
from collections.abc import Callable, Sequence

from verl_df.lab.evaluation import options


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit code 1 and one line on stderr for bad input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    try:
        if not arguments or arguments[0] not in COMMANDS:
            raise ValueError(f"give a command, one of {', '.join(COMMANDS)}; see --help")
        page = COMMANDS[arguments[0]](arguments[1:])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(page)
    return 0


def _run(argv: Sequence[str]) -> str:
    settings, out = options.run_settings(argv)
    from verl_df.lab.evaluation.run import run_evaluation  # seconds of imports
    from verl_df.lab.evaluation.summary import write_summary

    run_evaluation(settings, out)
    return write_summary(out)


def _score(argv: Sequence[str]) -> str:
    arguments = options.score_parser().parse_args(argv)
    from verl_df.lab.evaluation.library import score_by_library

    return score_by_library(arguments.run, arguments.python, arguments.workers)


def _table(argv: Sequence[str]) -> str:
    arguments = options.table_parser().parse_args(argv)
    from verl_df.lab.evaluation.figures import parse_run
    from verl_df.lab.evaluation.tables import write_table

    runs = [parse_run(text, arguments.scores) for text in arguments.run]
    return write_table(runs, arguments.out, arguments.interval)


def _compare(argv: Sequence[str]) -> str:
    arguments = options.compare_parser().parse_args(argv)
    from verl_df.lab.evaluation.compare import write_comparison
    from verl_df.lab.evaluation.figures import parse_run

    a, b = (parse_run(text, arguments.scores) for text in (arguments.a, arguments.b))
    return write_comparison(a, b, arguments.out)


COMMANDS: dict[str, Callable[[Sequence[str]], str]] = {
    "run": _run,
    "score": _score,
    "table": _table,
    "compare": _compare,
}


if __name__ == "__main__":
    sys.exit(main())
