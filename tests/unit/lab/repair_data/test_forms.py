# SPDX-License-Identifier: Apache-2.0
"""The annotation forms: self-contained, inert whatever a model wrote, and a script that counts and saves rightly."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lab.repair_data.support import make_set, picture, right
from verl_df.io.files import whole_file
from verl_df.lab.repair_data import forms
from verl_df.lab.repair_data.annotations import ANNOTATIONS
from verl_df.lab.repair_data.forms import embed, export_forms, write_form
from verl_df.lab.repair_data.records import RepairSample, read_samples
from verl_df.lab.repair_data.rows import sft_row

EVIL = "</script><img src=x onerror=alert(1)>\u2028\u2029<!-- <script> ]]> &lt; \\ \" ' \x00 \U0001f600"
HERE = Path(forms.__file__).parent


class Page(HTMLParser):
    """Elements of a page, and the text of its scripts and its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        if self.elements:
            self.texts.append((self.elements[-1][0], data))

    def scripts(self) -> list[tuple[dict[str, str | None], str]]:
        found = [attrs for tag, attrs in self.elements if tag == "script"]
        texts = [text for tag, text in self.texts if tag == "script" and text.strip()]
        return list(zip(found, texts, strict=True))


def evil_sample(text: str) -> RepairSample:
    content = [{"role": "user", "content": f"<image>{text}"}]
    return RepairSample("a" * 16, 0, "d", content, ["a.png"], [text], {}, text, [1], text, "sibling")


def form(tmp_path: Path, text: str, title: str = "form") -> str:
    (tmp_path / "a.png").write_bytes(picture(0))
    file = StringIO()
    write_form(file, [evil_sample(text)], tmp_path, title)
    return file.getvalue()


def test_a_form_holds_everything_and_asks_for_nothing(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    (path,) = export_forms(folder, 100)
    page = Page(path.read_text())
    for tag, attrs in page.elements:
        assert tag not in ("link", "iframe", "object", "base"), tag
        assert not {"src", "href", "action", "srcset"} & attrs.keys()
        assert not [name for name in attrs if name.startswith("on")]
    assert "http" not in re.sub(r"http-equiv", "", path.read_text())
    data = json.loads(page.scripts()[0][1])
    samples = list(read_samples(folder.samples))
    assert [one["id"] for one in data["samples"]] == [one.id for one in samples]
    assert data["samples"][1]["response"] == samples[1].response and data["samples"][1]["reference_kind"] == "sibling"
    assert "extra_info" not in data["samples"][0] and "target" not in data["samples"][0]
    assert set(data["images"]) == {name for one in samples for name in one.images}
    name = samples[0].images[0]
    assert data["images"][name] == "data:image/png;base64," + base64.b64encode(picture(0)).decode()


def test_the_only_script_that_may_run_is_the_forms_own(tmp_path: Path) -> None:
    page = Page(form(tmp_path, "x"))
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    (data, _), (script, source) = page.scripts()
    assert data["type"] == "application/json" and script == {}
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy and "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "") and "unsafe-eval" not in policy


def test_what_a_model_wrote_is_inert(tmp_path: Path) -> None:
    text = form(tmp_path, EVIL, title=EVIL)
    page, plain = Page(text), Page(form(tmp_path, "x"))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert "<img" not in text and "\u2028" not in text.split('id="data">')[1]
    (sample,) = json.loads(page.scripts()[0][1])["samples"]
    assert sample["response"] == sample["reference"] == sample["ground_truth"][0] == EVIL


@given(st.text())
def test_embedded_json_says_the_same_and_ends_no_script(text: str) -> None:
    embedded = embed({"text": text})
    assert json.loads(embedded) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(embedded)


def test_the_template_is_filled_whatever_the_title_holds(tmp_path: Path) -> None:
    text = form(tmp_path, "{script} {data} {title}", title="{style}{script_hash}{data}{script}")
    assert "<title>{style}{script_hash}{data}{script}</title>" in text
    assert len(Page(text).scripts()) == 2


def test_every_field_has_a_label_and_every_id_that_the_script_asks_for_is_there(tmp_path: Path) -> None:
    page = Page(form(tmp_path, "x"))
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'by\("([a-z-]+)"\)', (HERE / "form.js").read_text()))
    assert asked <= set(ids) and len(asked) > 20
    labels = {attrs["for"] for tag, attrs in page.elements if tag == "label"}
    fields = {attrs["id"] for tag, attrs in page.elements if tag in ("input", "textarea")}
    assert fields <= labels
    assert page.elements[0] == ("html", {"lang": "en"}) or page.elements[1] == ("html", {"lang": "en"})


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("ink", "ground"),
    [("ink", "card"), ("soft", "bg"), ("soft", "card"), ("orange", "#fdeadb"), ("green", "#dcf3e9"), ("#fff", "blue")],
)
def test_text_stands_out_from_its_ground(ink: str, ground: str) -> None:
    """WCAG AA: 4.5 to 1."""
    style = (HERE / "form.css").read_text()
    named = dict(re.findall(r"--(\w+):(#\w+)", style))
    assert all(colour in style for colour in (ink, ground) if colour.startswith("#"))
    lights = sorted(luminance(named.get(colour, colour)) for colour in (ink, ground))
    assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5


# ---- several forms ---------------------------------------------------------------------------------------------------


def test_large_sets_are_split_and_old_forms_go(tmp_path: Path) -> None:
    folder = make_set(tmp_path)
    ids = [one.id for one in read_samples(folder.samples)]
    paths = export_forms(folder, 5)
    assert [path.name for path in paths] == ["form_001.html", "form_002.html", "form_003.html"]
    shown = [json.loads(Page(path.read_text()).scripts()[0][1]) for path in paths]
    assert [one["id"] for data in shown for one in data["samples"]] == ids
    assert [len(data["images"]) for data in shown] == [3, 3, 1], "a form holds the images of its own samples"
    export_forms(folder, 100, set(ids[2:4]))
    assert [path.name for path in folder.forms.iterdir()] == ["form_001.html"]


def test_nothing_to_annotate(tmp_path: Path) -> None:
    folder = make_set(tmp_path, lambda index, blank: [right(index)])
    with pytest.raises(ValueError, match="holds no samples: there is nothing to annotate"):
        export_forms(folder, 5)


# ---- the script, where there is Node ---------------------------------------------------------------------------------

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node to run the form's script")


def run_script(expression: str, value: object) -> object:
    """The value of a JavaScript expression over `diff.js` and `input`."""
    source = f"{(HERE / 'diff.js').read_text()}\nconst input = {embed(value)};\n"
    source += f"process.stdout.write(JSON.stringify({expression}));"
    done = subprocess.run(["node", "-"], input=source, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def levenshtein(a: list[str], b: list[str]) -> int:
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(a, b)


PAIRS = [
    ("", ""),
    ("", "new words"),
    ("old words", ""),
    ("I count 12 red dots.", "I count 13 red dots."),
    ("a b c d e f", "a x c d f g"),
    ("the cat sat on the mat, the end", "on the mat the cat sat. the end"),
    ("eins\n\nzwei  drei", "eins\nzwei drei"),
    ("naïve Ünïcode 数学 \U0001f600!", "naive Ünïcode 数 学 \U0001f600?"),
    ("a " * 300, "b " * 300),
]


@needs_node
def test_the_diff_shows_both_texts_and_counts_the_shortest_path() -> None:
    whole = "input.map(([a, b]) => ({a: words(a), b: words(b), ...difference(words(a), words(b))}))"
    for (before, after), found in zip(PAIRS, run_script(whole, PAIRS), strict=True):
        assert "".join(found["a"]) == before and "".join(found["b"]) == after
        kept = {side: "".join("".join(run["words"]) for run in found["runs"] if run["kind"] in ("same", side))
                for side in ("delete", "insert")}  # fmt: skip
        assert kept == {"delete": before, "insert": after}
        assert found["distance"] == levenshtein(found["a"], found["b"])


@needs_node
def test_words_are_those_of_a_byte_pair_tokenizer() -> None:
    assert run_script("words(input)", "so 12 = x1,\n y!") == [
        "so",
        " ",
        "1",
        "2",
        " =",
        " x",
        "1",
        ",",
        "\n ",
        "y",
        "!",
    ]


@needs_node
def test_very_long_texts_are_shown_as_replaced() -> None:
    found = run_script("difference(input, input.map((word) => word + 'x'))", [str(k) for k in range(2100)])
    assert [run["kind"] for run in found["runs"]] == ["delete", "insert"] and found["distance"] == 2100


@needs_node
def test_saved_rows_are_annotations_and_are_read_again() -> None:
    rows = [
        {"id": "a", "target": EVIL.replace("\x00", ""), "skip": False, "note": ""},
        {"id": "b", "target": None, "skip": True, "note": "unclear\nreally"},
    ]
    text = run_script("toLines(input)", rows)
    lines = text.splitlines()
    assert len(lines) == 2, "U+2028 does not break a line"
    assert [vars(ANNOTATIONS.load(line)) for line in lines] == rows
    assert run_script("fromLines(input, new Map([['a', 0], ['b', 1]]))", "\ufeff" + text + "\n") == rows
    assert run_script("fromLines(input, new Map([['b', 1]]))", text) == rows[1:]


@needs_node
@pytest.mark.parametrize("line", ["{half", "[]", "null", '{"id": 3, "target": "x"}', '{"id": "a", "target": 3}'])
def test_a_broken_file_is_named_by_line(line: str) -> None:
    caught = "(() => { try { return fromLines(input, new Map()); } catch (error) { return error.message; } })()"
    assert str(run_script(caught, '{"id": "a", "target": "x"}\n' + line)).startswith("line 2: no ")


def test_an_image_outside_the_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    images = tmp_path / "images"
    images.mkdir()
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        sample = replace(evil_sample("x"), images=[name])
        with pytest.raises(ValueError, match="is not inside"):
            write_form(StringIO(), [sample], images, "form")
        with pytest.raises(ValueError, match="is not inside"):
            sft_row(replace(sample, target="y"), images, None)


def test_half_a_surrogate_pair_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(0))
    with whole_file(tmp_path / "form.html") as file:
        write_form(file, [evil_sample("so \ud83d")], tmp_path, "form")
    (attributes, data), *_ = Page((tmp_path / "form.html").read_text(encoding="utf-8")).scripts()
    assert attributes["type"] == "application/json" and json.loads(data)["samples"][0]["response"] == "so \ud83d"
