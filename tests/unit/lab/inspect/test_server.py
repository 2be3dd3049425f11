# SPDX-License-Identifier: Apache-2.0
"""The inspector's server: loopback only, one run's files only, ranges of pairs, pages that a browser cannot misread."""

import http.client
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from tests.unit.lab.inspect.runs import group, record, token_arrays
from verl_df.cli import main
from verl_df.lab.inspect.facts import MODULES
from verl_df.lab.inspect.index import COLUMNS
from verl_df.lab.inspect.server import InspectServer
from verl_df.method.group_records import GROUPS, GROUPS_FILE, GroupRecord
from verl_df.method.records import PAIRS
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE

Get = Callable[..., tuple[http.client.HTTPResponse, bytes]]


@pytest.fixture
def get(server: InspectServer) -> Get:
    def ask(path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    return ask


def data(get: Get, path: str) -> Any:
    response, content = get(path)
    assert response.status == 200
    return json.loads(content)


def test_it_listens_on_loopback_only(server: InspectServer):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.address.startswith("http://127.0.0.1:")


def test_the_page_and_its_files_say_what_a_browser_may_do(get: Get):
    for path, kind in {
        "/": "text/html",
        "/assets/inspect.css": "text/css",
        "/assets/app.js": "text/javascript",
    }.items():
        response, content = get(path)
        assert response.status == 200 and content
        assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = re.findall(rb'http-equiv="Content-Security-Policy" content="([^"]*)"', get("/")[1])
    assert len(policy) == 1 and policy[0].startswith(b"default-src 'none'; script-src 'self';")
    assert b"unsafe" not in policy[0]
    assert all(get(f"/assets/{name}")[0].status == 200 for name in MODULES)


def test_another_name_of_this_machine_is_refused(get: Get):
    for host, status in {"localhost:9000": 200, "127.0.0.1": 200, "evil.example": 403, "evil.example:80": 403}.items():
        assert get("/data/run", Host=host)[0].status == status


def test_an_index_and_the_ranges_that_it_names_give_the_records(get: Get, run_folder: Path):
    part = data(get, "/data/index?from=0")
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in part["rows"]]
    for row, one in zip(rows, PAIRS.read(run_folder / "pairs.jsonl"), strict=True):
        last = row["offset"] + row["length"] - 1
        response, content = get("/data/pairs", Range=f"bytes={row['offset']}-{last}")
        size = (run_folder / "pairs.jsonl").stat().st_size
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes {row['offset']}-{last}/{size}"
        assert PAIRS.load(content.decode("utf-8")) == one
    assert data(get, "/data/index?from=10")["rows"] == part["rows"][10:]


@pytest.mark.parametrize(
    "given, status",
    [
        (None, 400),
        ("bytes=0-", 400),
        ("bytes=-5", 400),
        ("bytes=0-1,3-4", 400),
        ("lines=0-1", 400),
        ("bytes=5-2", 416),
        ("bytes=999999999-9999999999", 416),
        ("bytes=0-9" + "9" * 400, 400),
    ],
)
def test_ranges_that_are_none(get: Get, given: str | None, status: int):
    response, content = get("/data/pairs", **({} if given is None else {"Range": given}))
    assert response.status == status and len(content) < 200


@pytest.mark.parametrize(
    "path",
    [
        "/images/../metrics.jsonl",
        "/images/%2e%2e/metrics.jsonl",
        "/images/..%2f..%2fsecret.png",
        "/images//etc/hostname",
        "/images/link.png",
        "/images/",
        "/assets/../facts.py",
        "/assets/..%2ffacts.py",
        "/assets/page.html",
        "/data/metrics.jsonl",
        "/pairs.jsonl",
        "/%00",
        "/images/%00",
        "//elsewhere/x",
        "/data/index/../run",
    ],
)
def test_no_other_file_is_served(get: Get, run_folder: Path, path: str):
    Image.new("RGB", (2, 2)).save(run_folder.parent / "secret.png")
    (run_folder / "images" / "link.png").symlink_to(run_folder.parent / "secret.png")
    response, content = get(path)
    assert response.status == 404
    assert b"PNG" not in content and b"entropy" not in content


def test_token_arrays_are_found_by_step_and_key(get: Get, run_folder: Path):
    def found(number: int, step: int = 1) -> object:
        asked = data(get, f"/data/tokens?step={step}&key={quote(record(number).key)}")["records"]
        return TOKEN_ARRAYS.load(json.dumps(asked[0])) if asked else None

    path = run_folder / TOKEN_ARRAYS_FILE
    assert found(1) == token_arrays(1) and found(0) == token_arrays(0)
    assert found(1, step=2) is found(2) is None
    line = TOKEN_ARRAYS.dump(token_arrays(2)) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write("no record\n" + line[:50])
    assert found(2) is None  # half of it
    with path.open("a", encoding="utf-8") as file:
        file.write(line[50:])
    assert found(2) == token_arrays(2)
    path.write_text(line.replace('"ratio":[', '"ratio":[2,'), encoding="utf-8")  # the run was started anew
    assert found(1) is None
    broken = data(get, f"/data/tokens?step=1&key={quote(record(2).key)}")
    assert broken["records"] == [] and broken["faults"][0].startswith(f"{TOKEN_ARRAYS_FILE}, line 1: ")
    assert "ratio has" in broken["faults"][0]
    assert get("/data/tokens?step=x&key=")[0].status == 400
    path.unlink()
    assert found(1) is None


def test_groups_are_found_by_step(get: Get, run_folder: Path):
    def found(step: int) -> list[GroupRecord]:
        return [GROUPS.load(json.dumps(one)) for one in data(get, f"/data/groups?step={step}")["records"]]

    assert [found(step) for step in (1, 2, 3)] == [[group(0), group(1)], [group(2), group(3)], []]
    assert get("/data/groups?step=1e3")[0].status == 400
    (run_folder / GROUPS_FILE).write_text(GROUPS.dump(group(2)) + "\n", encoding="utf-8")
    assert found(2) == [group(2)] and found(1) == []
    with (run_folder / GROUPS_FILE).open("ab") as file:
        file.write(
            b'{"schema_version":1,"step":2,"uid":"\xff"}\n{"schema_version":1,"step":2,"uid":' + b"[" * 5000 + b"\n"
        )
        file.write(GROUPS.dump(group(3)).encode() + b"\n")
    assert found(2) == [group(2), group(3)]
    faults = data(get, "/data/groups?step=2")["faults"]
    assert [fault.partition(":")[0] for fault in faults] == [f"{GROUPS_FILE}, line {number}" for number in (2, 3)]


@pytest.mark.parametrize("query", ["from=-1", "from=x", "from=1e3", "from=" + "9" * 30])
def test_rows_that_are_no_number(get: Get, query: str):
    assert get(f"/data/index?{query}")[0].status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_reading(get: Get, method: str):
    assert get("/data/run", method)[0].status == 501


def test_pictures_come_as_png_and_nothing_else_does(get: Get, run_folder: Path):
    response, content = get("/images/cat.png")
    assert response.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(content)).size == (5, 4)
    (run_folder / "images" / "page.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert get("/images/page.png")[0].status == 404


def test_facts_are_sent_again_only_when_they_changed(get: Get, run_folder: Path):
    facts = data(get, "/data/run")
    assert facts["curves"]["own/metric"][-1] == [11, 11.0]
    assert facts["problems"] == []
    assert data(get, f"/data/run?known={facts['stamp']}") == {"stamp": facts["stamp"], "unchanged": True}
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "data": {"own/metric": 5}}\n')
    assert data(get, f"/data/run?known={facts['stamp']}")["curves"]["own/metric"][-1] == [12, 5.0]


def test_a_half_line_of_metrics_is_said_and_stops_nothing(get: Get, run_folder: Path):
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "da')
    assert "line 13" in data(get, "/data/run")["problems"][0]
    assert len(data(get, "/data/index?from=0")["rows"]) == 12


def test_a_run_without_metrics_has_its_pairs(get: Get, run_folder: Path):
    (run_folder / "metrics.jsonl").unlink()
    facts = data(get, "/data/run")
    assert facts["curves"] == {} and "metrics.jsonl not found" in facts["problems"][0]


def test_folders_that_are_no_run(tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty").mkdir()
    assert main(["inspect", str(tmp_path / "empty")]) == 1
    assert "holds neither pairs.jsonl" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "absent")]) == 1
    assert main(["inspect", str(run_folder), "--port", "70000"]) == 1
    (tmp_path / "led").mkdir()
    (tmp_path / "led" / "pairs.jsonl").symlink_to(run_folder / "pairs.jsonl")
    assert main(["inspect", str(tmp_path / "led")]) == 1
    assert "is not inside" in capsys.readouterr().err
