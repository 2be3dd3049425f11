# SPDX-License-Identifier: Apache-2.0
"""`export --format html`: forms to write y* with, each one file that needs no network.

Kept by hand, without a framework or an annotation server: an annotator opens a file, offline, and its policy lets no
other script run and nothing be fetched, whatever the model wrote that is shown.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from verl_df.io.files import inside, whole_file
from verl_df.io.picture_sources import read_limited
from verl_df.io.pictures import as_png
from verl_df.io.streams import batches
from verl_df.lab.repair_data.annotations import context
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.records import RepairSample, read_samples

_HERE = Path(__file__).parent
# A browser may take these, written plainly, for the end of the script or of the line.
_INERT = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def export_forms(folder: SetFolder, per_file: int, chosen: set[str] | None = None) -> list[Path]:
    """Write `forms/form_001.html`, ... with `per_file` samples each (of the chosen ids); forms of an earlier export go.

    The browser keeps what is typed under the samples' ids, so that a new export finds it again.

    Raises: ValueError if there is nothing to write.
    """
    samples = (sample for sample in read_samples(folder.samples) if chosen is None or sample.id in chosen)
    written = []
    for number, part in enumerate(batches(samples, per_file), start=1):
        path = folder.forms / f"form_{number:03}.html"
        with whole_file(path) as file:
            write_form(file, part, folder.images, f"{folder.root.resolve().name}, form {number}")
        written.append(path)
    if not written:
        raise ValueError(f"{folder.samples} holds no samples: there is nothing to annotate")
    for stale in set(folder.forms.glob("form_*.html")) - set(written):
        stale.unlink()
    return written


def write_form(file: TextIO, samples: Sequence[RepairSample], images: Path, title: str) -> None:
    """Write one form.

    Args:
        file: text file, UTF-8.
        samples: shown in this order.
        images: folder of their images; each is embedded once, one at a time.
        title: of the form, any text.
    """
    script = "".join(_part(name) for name in ("diff.js", "form.js"))
    style = _part("form.css")
    head, tail = _part("form.html").split("{data}")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for name, value in (("style", style), ("script_hash", digest), ("title", html.escape(title))):
        head = head.replace(f"{{{name}}}", value)
    file.write(head)
    _write_data(file, samples, images)
    file.write(tail.replace("{script}", script))


def embed(content: Any) -> str:
    """JSON that stays data inside an HTML script element, whatever text it holds."""
    return json.dumps(content, ensure_ascii=False).translate(_INERT)


def _write_data(file: TextIO, samples: Sequence[RepairSample], images: Path) -> None:
    shown = [{"id": sample.id, **context(sample)} for sample in samples]
    file.write(f'{{"samples":{embed(shown)},"images":{{')
    names = sorted({name for sample in samples for name in sample.images})
    for number, name in enumerate(names):
        content = base64.b64encode(as_png(read_limited(inside(images, name)))).decode()
        file.write(f'{"," if number else ""}{embed(name)}:"data:image/png;base64,{content}"')
    file.write("}}")


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
