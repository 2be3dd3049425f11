# SPDX-License-Identifier: Apache-2.0
"""The inspector's server: the page, and the data of one run, on loopback only."""

import json
import os
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from verl_df.io.files import inside
from verl_df.lab.inspect.facts import MODULES, asset, check_run, picture, run_facts
from verl_df.lab.inspect.index import PairIndex
from verl_df.lab.inspect.lines import group_index, token_index
from verl_df.lab.report.loading import METRICS_FILE, PAIRS_FILE
from verl_df.method.group_records import GROUPS_FILE
from verl_df.method.token_arrays import TOKEN_ARRAYS_FILE

LOOPBACK = "127.0.0.1"
FIRST_LINES, LINES_PER_REQUEST = 200, 5000  # few at first: a list is shown at once
MAX_GROUPS = 500  # of a step
MAX_RANGE = 64 << 20  # bytes
_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",  # which a page cannot say itself; page.html has the rest
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ASSETS = {"inspect.css": "text/css", **dict.fromkeys(MODULES, "text/javascript")}
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


def _stamp(path: Path) -> str:
    """Changes with the file; of pairs, whose index has its own reading, only whether it is there."""
    if not path.is_file():
        return "none"
    return f"{path.stat().st_size}.{path.stat().st_mtime_ns}" if path.name == METRICS_FILE else "there"


class Refused(ValueError):
    """A request that is answered with an HTTP status instead of data."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class InspectServer(ThreadingHTTPServer):
    """Serves one run's folder on loopback; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, run: Path, port: int) -> None:
        check_run(run)
        self.run = run
        self.index = PairIndex(inside(run, PAIRS_FILE))
        self.tokens = token_index(inside(run, TOKEN_ARRAYS_FILE))
        self.groups = group_index(inside(run, GROUPS_FILE))
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {}
        super().__init__((LOOPBACK, port), Handler)

    def facts(self, known: str) -> dict[str, Any]:
        """What the page shows beside pairs; only the stamp where that is the `known` one.

        Curves are read again when the files changed: the page asks every few seconds, on a machine that may train.
        """
        stamp = "-".join(map(_stamp, (self.run / METRICS_FILE, self.run / PAIRS_FILE)))
        if stamp == known:
            return {"stamp": stamp, "unchanged": True}
        with self._lock:
            if self._facts.get("stamp") != stamp:
                self._facts = run_facts(self.run) | {"stamp": stamp}
            return self._facts

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """Answers GET requests for the page, /assets/NAME, /data/{run,index,pairs,tokens,groups} and /images/NAME."""

    server: InspectServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds; a connection that asks nothing is closed

    def do_GET(self) -> None:
        try:
            self._check_host()
            url = urlsplit(self.path)
            first, _, name = unquote(url.path).removeprefix("/").partition("/")
            if first not in _ROUTES:
                raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
            _ROUTES[first](self, name, url.query)
        except Refused as error:
            self._send(str(error).encode(), "text/plain", error.status)
        except ConnectionError:
            self.close_connection = True  # the page was closed while it was being answered
        except (ValueError, OSError) as error:
            self._send(str(error).encode("utf-8", "backslashreplace"), "text/plain", HTTPStatus.NOT_FOUND)

    def _check_host(self) -> None:
        """Refuse other names for this machine: a page of a foreign site could otherwise read the run by one."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in (LOOPBACK, "localhost"):
            raise Refused(HTTPStatus.FORBIDDEN, f"open the page as {self.server.address}")

    def _page(self, name: str, query: str) -> None:
        if name:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        self._send(asset("page.html").encode(), "text/html")

    def _asset(self, name: str, query: str) -> None:
        if name not in _ASSETS:
            raise Refused(HTTPStatus.NOT_FOUND, "the page has no such file")
        self._send(asset(name).encode(), _ASSETS[name])

    def _data(self, name: str, query: str) -> None:
        if name == "run":
            self._send_json(self.server.facts(parse_qs(query).get("known", [""])[0]))
        elif name == "index":
            first = parse_qs(query).get("from", ["0"])[0]
            if not re.fullmatch(r"\d{1,9}", first):
                raise Refused(HTTPStatus.BAD_REQUEST, "from: a number of a row")
            lines = LINES_PER_REQUEST if int(first) else FIRST_LINES
            self._send_json(self.server.index.part(int(first), lines))
        elif name == "pairs":
            self._send_range(inside(self.server.run, PAIRS_FILE))
        elif name in ("tokens", "groups"):
            asked = parse_qs(query)
            step, key = (asked.get(one, [""])[0] for one in ("step", "key"))
            if not re.fullmatch(r"\d{1,18}", step):
                raise Refused(HTTPStatus.BAD_REQUEST, "step: a number of a step")
            if name == "tokens":
                self._send_json(self.server.tokens.find((int(step), key), 1))
            else:
                self._send_json(self.server.groups.find(int(step), MAX_GROUPS))
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "the run has no such data")

    def _picture(self, name: str, query: str) -> None:
        self._send(picture(self.server.run, name), "image/png")

    def _send_range(self, path: Path) -> None:
        """A part of a file; a whole file of pairs is more than a page can hold, and is refused."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "ask for one range of bytes: Range: bytes=FIRST-LAST")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            first, last = int(match[1]), min(int(match[2]), size - 1)
            if not first <= last < first + MAX_RANGE:
                raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"no such range of {size} bytes")
            file.seek(first)
            content = file.read(last - first + 1)
        where = {"Content-Range": f"bytes {first}-{last}/{size}"}
        self._send(content, "application/json", HTTPStatus.PARTIAL_CONTENT, where)

    def _send_json(self, content: dict[str, Any]) -> None:
        self._send(json.dumps(content, separators=(",", ":")).encode(), "application/json")

    def _send(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        kind = kind if kind.startswith("image/") else f"{kind}; charset=utf-8"
        for name, value in {**_HEADERS, "Content-Type": kind, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged: a page that is open asks every few seconds."""


_ROUTES: dict[str, Callable[[Handler, str, str], None]] = {
    "": Handler._page,
    "assets": Handler._asset,
    "data": Handler._data,
    "images": Handler._picture,
}
