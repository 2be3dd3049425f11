# SPDX-License-Identifier: Apache-2.0
"""The inspector as one file: everything in it, nothing of a run as markup, and the same bytes for the same run."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from verl_df.cli import main
from verl_df.lab.inspect.export import PAIRS_PER_SHARD, bundle, export_page
from verl_df.method.group_records import GROUPS, GROUPS_FILE
from verl_df.method.records import PAIRS
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE


class Blocks(HTMLParser):
    """Script and style elements: (tag, attributes, text)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[list[Any]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.inside = tag in ("script", "style")
        if self.inside:
            self.found.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, text: str) -> None:
        if self.inside:
            self.found[-1][2] += text


def unpacked(page: str) -> dict[str, Any]:
    blocks = {attrs["id"]: text for _, attrs, text in Blocks(page).found if "id" in attrs}
    return {
        name: json.loads(gzip.decompress(base64.b64decode(text)))
        for name, text in blocks.items()
        if name.startswith("data-")
    }


@pytest.fixture
def page(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    out = tmp_path / "page.html"
    assert main(["inspect", str(run_folder), "--export", str(out)]) == 0
    assert "wrote" in capsys.readouterr().out
    return out.read_text(encoding="utf-8")


def test_records_pictures_and_curves_are_in_it(page: str, run_folder: Path):
    found = unpacked(page)
    records = [PAIRS.load(json.dumps(one)) for one in found["data-shard-0"]]
    assert records == list(PAIRS.read(run_folder / "pairs.jsonl"))
    arrays = [next(map(TOKEN_ARRAYS.load, map(json.dumps, one["records"])), None) for one in found["data-tokens-0"]]
    assert arrays == [*TOKEN_ARRAYS.read(run_folder / TOKEN_ARRAYS_FILE), *([None] * 10)]
    groups = [GROUPS.load(json.dumps(one)) for step in (1, 2) for one in found[f"data-groups-{step}"]["records"]]
    assert groups == list(GROUPS.read(run_folder / GROUPS_FILE)) and "data-groups-3" not in found
    assert len(found["data-index"]["rows"]) == len(records)
    assert found["data-run"]["curves"]["own/metric"][3] == [3, 3.0]
    assert found["data-pictures"] == {"cat.png": 0}
    assert 'id="picture-0">iVBOR' in page


def test_shards_follow_the_index(run_folder: Path, tmp_path: Path):
    line = (run_folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[1]
    lines = [re.sub(r'"step":\d+', f'"step":{step}', line) for step in range(PAIRS_PER_SHARD + 3)]
    (run_folder / "pairs.jsonl").write_text("{\n" + "\n".join(lines) + "\n", encoding="utf-8")
    export_page(run_folder, tmp_path / "page.html")
    found = unpacked((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [one["step"] for one in found["data-shard-0"]] == list(range(PAIRS_PER_SHARD))
    assert [one["step"] for one in found["data-shard-1"]] == list(range(PAIRS_PER_SHARD, PAIRS_PER_SHARD + 3))
    assert [line for line, _ in found["data-index"]["faults"]] == [1]


def test_the_policy_allows_the_page_s_own_script_and_style_only(page: str):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "'self'" not in policy
    for tag, attrs, text in Blocks(page).found:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        if "id" in attrs:
            assert attrs["type"] == "text/plain"
        else:
            assert f"'sha256-{digest}'" in policy, tag
    assert "src=" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "onerror" not in re.sub(r"<script type=\"module\">.*?</script>", "", page, flags=re.DOTALL)


def test_the_same_run_gives_the_same_file(page: str, run_folder: Path, tmp_path: Path):
    export_page(run_folder, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_the_bundle_has_every_name_once_and_no_import():
    script = bundle()
    assert not re.findall(r"^(?:import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", script, re.MULTILINE)
    assert len(names) > 50 and len(names) == len(set(names))


def test_a_picture_that_is_missing_or_elsewhere(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (run_folder / "images" / "cat.png").unlink()
    assert main(["inspect", str(run_folder), "--export", str(tmp_path / "page.html")]) == 1
    assert "cat.png" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
    text = (run_folder / "pairs.jsonl").read_text(encoding="utf-8")
    (run_folder / "pairs.jsonl").write_text(text.replace('"cat.png"', '"../../x.png"'), encoding="utf-8")
    assert main(["inspect", str(run_folder), "--export", str(tmp_path / "page.html")]) == 1
    assert "is not inside" in capsys.readouterr().err
