# SPDX-License-Identifier: Apache-2.0
"""The inspector as one HTML file: the same page, its data packed in shards that the page unpacks when it needs them."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from verl_df.io.files import inside, whole_file
from verl_df.io.json_text import parse_json
from verl_df.lab.inspect.facts import MODULES, asset, check_run, picture, run_facts
from verl_df.lab.inspect.index import PairIndex
from verl_df.lab.inspect.lines import group_index, token_index
from verl_df.lab.report.loading import PAIRS_FILE
from verl_df.method.group_records import GROUPS_FILE
from verl_df.method.token_arrays import TOKEN_ARRAYS_FILE

PAIRS_PER_SHARD = 64
_LINES = 10_000
_EVERY = 1 << 31
_IMPORT = re.compile(r"^import .* from \"\./[a-z]+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async |function |const |class |let )", re.MULTILINE)


def export_page(run: Path, out: Path) -> None:
    """Write the page of a run, pairs, pictures and curves in it.

    Raises:
        FileNotFoundError: no run.
        ValueError: a pair or a group names a picture outside the run's folder, or one that cannot be read.
    """
    check_run(run)
    index = PairIndex(inside(run, PAIRS_FILE))
    while index.read_on(_LINES):
        pass
    groups = group_index(inside(run, GROUPS_FILE))
    tokens = token_index(inside(run, TOKEN_ARRAYS_FILE))
    facts = run_facts(run) | {"export": True, "shard": PAIRS_PER_SHARD}
    script, style = bundle(), asset("inspect.css")
    with whole_file(out) as file:
        head, foot = exported_page(script, style)
        file.write(head)
        _put(file, "data-run", facts)
        _put(file, "data-index", index.part(0, len(index.rows)) | {"more": False})
        names: dict[str, None] = {}
        for number, records in enumerate(_shards(index)):
            _put(file, f"data-shard-{number}", records)
            _put(file, f"data-tokens-{number}", [tokens.find((one["step"], one.get("key", "")), 1) for one in records])
            names.update(dict.fromkeys(name for record in records for name in record["images"]))
        groups.find(0, 0)  # reads the file
        for step in groups.places:
            found = groups.find(step, _EVERY)
            _put(file, f"data-groups-{step}", found)
            names.update(dict.fromkeys(name for record in found["records"] for name in record["images"]))
        for number, name in enumerate(names):
            file.write(_block(f"picture-{number}", base64.b64encode(picture(run, name)).decode("ascii")))
        _put(file, "data-pictures", {name: number for number, name in enumerate(names)})
        file.write(foot)


def bundle() -> str:
    """The page's modules as one script: their names are unique over all modules, so that imports can go."""
    return "".join(_EXPORT.sub("", _IMPORT.sub("", asset(name))) for name in MODULES)


def exported_page(script: str, style: str) -> tuple[str, str]:
    """What stands before and after the data: the page with script and style inside, each allowed by its hash."""
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "form-action 'none'; base-uri 'none'"
    )
    page = asset("page.html")
    head, end_of_head, body = page.partition("</head>")
    head = re.sub(r"<(meta http-equiv|link rel=\"stylesheet\"|script ).*\n", "", head)
    head += f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>\n'
    before, end_of_body, after = body.partition("</body>")
    return head + end_of_head + before, f'<script type="module">{script}</script>\n{end_of_body}{after}'


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _shards(index: PairIndex) -> Iterator[list[dict[str, Any]]]:
    """The records in the order of the index, `PAIRS_PER_SHARD` at a time."""
    for first in range(0, len(index.rows), PAIRS_PER_SHARD):
        records = []
        with index.path.open("rb") as file:
            for _, offset, length, *_ in index.rows[first : first + PAIRS_PER_SHARD]:
                file.seek(offset)
                records.append(parse_json(file.read(length)))
        yield records


def _put(file: TextIO, name: str, content: Any) -> None:
    # level 6, no time of writing: the same run gives the same file
    packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 6, mtime=0)
    file.write(_block(name, base64.b64encode(packed).decode("ascii")))


def _block(name: str, text: str) -> str:
    # text/plain is never run; base64 holds no markup, whatever was packed
    return f'<script type="text/plain" id="{name}">{text}</script>\n'
