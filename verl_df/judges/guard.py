# SPDX-License-Identifier: Apache-2.0
"""Hooks of an HTTP client that keep an endpoint to what it was asked for: its own address, plain replies, a size."""

from collections.abc import AsyncIterator
from typing import Any

from httpx2 import URL, AsyncByteStream, Request, Response
from openai import OpenAIError

from verl_df.judges.failures import FailureReason


class Refused(OpenAIError):
    """A reply that is not read. The openai package hands such an error on and does not ask again."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def keeps_to(base_url: str) -> Any:
    """A hook for requests that refuses one to another address, to which a redirect has led.

    The prompt and its images would go there, and its verdict would count.
    """
    own = _address(URL(base_url))

    async def check(request: Request) -> None:
        if _address(request.url) != own:
            to = request.url.copy_with(path="", query=None, fragment=None)
            detail = f"redirected to another address, {to}: write that one as base_url if it is to be trusted"
            raise Refused(FailureReason.HTTP_ERROR, detail)

    return check


def limits(size: int) -> Any:
    """A hook for responses that refuses compressed ones, for none was asked for, and those of more than `size` bytes.

    No more than `size` bytes are read, so that neither a long reply nor a small one that unpacks to gigabytes can fill
    the memory.
    """

    async def bound(response: Response) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            detail = f"the reply is compressed ({encoding[:40]!r}), though that was not asked for"
            raise Refused(FailureReason.UNPARSABLE, detail)
        response.stream = _Bounded(response.stream, size)

    return bound


class _Bounded(AsyncByteStream):
    def __init__(self, stream: Any, size: int) -> None:
        self._stream, self._size = stream, size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._size
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise Refused(FailureReason.UNPARSABLE, f"the reply has more than {self._size} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _address(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
