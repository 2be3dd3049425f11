# SPDX-License-Identifier: Apache-2.0
"""Compares mathematical expressions with math-verify, in a process of its own; `expressions` starts and asks it.

Run as a program. It writes a line when it is ready, and then one line, `true` or `false`, for each line of JSON
{"truth", "answer"} that it reads; it ends with its input. Where one comparison takes more than the processor seconds
given on the command line, the kernel ends the process, in the middle of a multiplication of huge integers too, where no
Python code would get its turn.
"""

import json
import resource
import signal
import sys

from math_verify import LatexExtractionConfig, parse, verify

# Of address space: 9^{9^9} asks for more than a machine has.
MEMORY_BYTES = 4 << 30
_LATEX = [LatexExtractionConfig()]


def equal(truth: str, answer: str) -> bool:
    """Whether two LaTeX expressions are equal; False where one of them cannot be read."""
    try:
        # math-verify's own time limits are signal handlers; the process has a better one.
        sides = [
            parse(f"${text}$", _LATEX, fallback_mode="no_fallback", parsing_timeout=None) for text in (truth, answer)
        ]
        return all(sides) and verify(*sides, strict=True, allow_set_relation_comp=True, timeout_seconds=None)
    except (Exception, RecursionError):  # whatever sympy may raise about a text that a model wrote
        return False


def main(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    equal(r"\frac{1}{2}", "0.5")  # builds the parser's tables, which is not to count against the first question
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # no handler: the default action of SIGPROF ends the process
        result = equal(question["truth"], question["answer"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
