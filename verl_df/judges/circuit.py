# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: after several failures in a row, stop asking for a while."""

import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed (calls go out) until `failures` calls in a row failed; then open for `cool_down_s` seconds.

    After the cool-down one call goes out as a probe, and the others are still refused for another `cool_down_s`, or
    until an answer arrives: any success closes the circuit. Sharing it between threads is harmless: at worst a few more
    probes go out.

    Args:
        failures: at least 1.
        cool_down_s: seconds.
        clock: seconds, monotonic.
    """

    def __init__(self, failures: int, cool_down_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._cool_down_s, self._clock = failures, cool_down_s, clock
        self._in_a_row = 0
        self._next_probe = 0.0

    def allows_call(self) -> bool:
        """Whether a call may go out now; an open circuit that has cooled down lets this one out as its probe."""
        if self._in_a_row < self._limit:
            return True
        now = self._clock()
        if now < self._next_probe:
            return False
        self._next_probe = now + self._cool_down_s
        return True

    def succeeded(self) -> None:
        self._in_a_row = 0

    def failed(self) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self._limit:
            self._next_probe = self._clock() + self._cool_down_s
