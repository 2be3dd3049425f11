# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a call to an endpoint."""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why a call gave nothing.

    UNREACHABLE: no connection, or one that broke. TIMEOUT: no whole answer in time. HTTP_ERROR: an HTTP status of 400
    or more. EMPTY: an answer without text. UNPARSABLE: an answer that is not of the form asked for. SKIPPED: not asked,
    since the calls before it failed (the circuit breaker).
    """

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    HTTP_ERROR = "http_error"
    EMPTY = "empty"
    UNPARSABLE = "unparsable"
    SKIPPED = "skipped"


class EndpointFailure(Exception):
    """The only exception of a call. reason: for counting. detail: one line for people."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
