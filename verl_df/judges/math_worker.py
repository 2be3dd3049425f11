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
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Rational, Symbol
from sympy.core.relational import Relational
from sympy.sets.sets import Set

# Of address space: 9^{9^9} asks for more than a machine has.
MEMORY_BYTES = 4 << 30
# Units, boxes and decimals are read before; math-verify would drop a variable that looks like a unit.
_SPELLING = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none")
_LATEX = [LatexExtractionConfig(normalization_config=_SPELLING)]
# Relative; math-verify's own is absolute, so that all tiny numbers are equal to it.
_TOLERANCE = 1e-6


def equal(truth: str, answer: str) -> bool:
    """Whether two LaTeX expressions are equal; False where one of them cannot be read."""
    try:
        # math-verify's own time limits are signal handlers; the process has a better one.
        sides = [
            parse(f"${text}$", _LATEX, fallback_mode="no_fallback", parsing_timeout=None) for text in (truth, answer)
        ]
        same = all(sides) and verify(*sides, strict=True, allow_set_relation_comp=True, timeout_seconds=None)
        return same and _same_at_a_point(sides[0][0], sides[1][0])
    except (Exception, RecursionError):  # whatever sympy may raise about a text that a model wrote
        return False


def _same_at_a_point(left: Any, right: Any) -> bool:
    """Whether two expressions have the same variables and, for arbitrary values of them, nearly the same value."""
    if not (isinstance(left, Basic) and isinstance(right, Basic)) or isinstance(left, Set | Relational):
        return True
    names = [{symbol.name for symbol in side.free_symbols if isinstance(symbol, Symbol)} for side in (left, right)]
    if isinstance(right, Set | Relational) or names[0] != names[1]:
        return isinstance(right, Set | Relational)
    values = []
    for side in (left, right):
        symbols = sorted(side.free_symbols, key=str)
        point = {symbol: Rational(137 + 58 * number, 101) for number, symbol in enumerate(symbols)}
        values.append(complex(side.subs(point).doit().evalf(30)))
    if any(value != value for value in values):
        return True
    return abs(values[0] - values[1]) <= _TOLERANCE * max(map(abs, values))


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
