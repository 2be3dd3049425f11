# SPDX-License-Identifier: Apache-2.0
"""What a row must fulfil: images, markers, question, answer; and how odd values of a source are read."""

import base64
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.lab.data.support import checked_sample, picture
from verl_df.io.picture_sources import MAX_BYTES
from verl_df.io.pictures import FORMATS
from verl_df.lab.data import fields
from verl_df.lab.data.checks import check_answer
from verl_df.lab.data.images import Files, encoded, encoded_or_base64
from verl_df.lab.data.options_in_text import read_options
from verl_df.lab.data.rows import Sample
from verl_df.rows.faults import Reason, RowError

UNKNOWN = f"image 0: 8 bytes in no known image format ({', '.join(FORMATS)} are read)"


def sample(**changes) -> Sample:
    plain = {
        "images": (picture(),),
        "question": "How many?",
        "body": "How many?",
        "answer": "3",
        "ground_truth": "3",
    }
    return Sample(**{**plain, **changes})


def dropped(function, *arguments) -> RowError:
    with pytest.raises(RowError) as caught:
        function(*arguments)
    return caught.value


def test_a_good_sample_passes() -> None:
    checked_sample(sample(), "<image>How many?")


@pytest.mark.parametrize(
    ("changes", "prompt", "reason", "detail"),
    [
        ({"body": "<image>\n "}, "<image>", Reason.NO_QUESTION, ""),
        ({"images": ()}, "How many?", Reason.NO_IMAGE, ""),
        (
            {},
            "<image> and <image>",
            Reason.MARKERS,
            "2 <image> markers for 1 images",
        ),
        ({}, "<image>How many <video>s?", Reason.MARKERS, "a <video> marker"),
        ({"images": (b"no image",)}, "<image>?", Reason.UNREADABLE_IMAGE, UNKNOWN),
        ({}, "<image> what is <|image_pad|>?", Reason.SPECIAL_TOKEN, "prompt: <|image_pad|>"),
        ({"images": (picture(size=(27, 40)),)}, "<image>?", Reason.SMALL_IMAGE, "image 0: 27 x 40 pixels, wanted 28"),
        (
            {"images": (picture(), picture(size=(2, 401)))},
            "<image><image>?",
            Reason.NARROW_IMAGE,
            "image 1: 2 x 401 pixels",
        ),
        ({"ground_truth": ""}, "<image>?", Reason.NO_ANSWER, ""),
        ({"ground_truth": "D", "choices": ("a", "b", "c")}, "<image>?", Reason.NOT_A_CHOICE, "'D' of 3 choices"),
        ({"ground_truth": "a", "choices": ("a", "b", "c")}, "<image>?", Reason.NOT_A_CHOICE, "'a' of 3 choices"),
        ({"ground_truth": "1 } 2"}, "<image>?", Reason.UNPARSED_ANSWER, "'1 } 2', boxed, does not match itself"),
        ({"ground_truth": "$ $"}, "<image>?", Reason.UNPARSED_ANSWER, "'$ $', boxed, does not match itself"),
    ],
)
def test_what_is_wrong_with_a_sample(changes, prompt, reason, detail) -> None:
    drop = dropped(checked_sample, sample(**changes), prompt, 28)
    assert (drop.reason, drop.detail) == (reason, detail)


@pytest.mark.parametrize(
    "truth",
    ["3", "\\frac{9\\sqrt{3}}{2}", "2191.7 metres", "118掳T", "[0, 2]", "C\nD", "Area $=\\frac{147 \\pi}{4}$", "B"],
)
def test_forms_of_answers_that_sources_have_can_score(truth) -> None:
    check_answer(sample(ground_truth=truth))


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=20))
def test_any_word_or_number_can_score(truth) -> None:
    check_answer(sample(ground_truth=truth))


def test_forms_of_an_image(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    files = Files(tmp_path)
    assert encoded({"bytes": picture(2), "path": "a.png"}, files) == picture(2)
    assert encoded({"bytes": None, "path": "a.png"}, files) == picture(1)
    assert encoded("file://a.png", files) == picture(1)
    assert encoded(str(tmp_path / "a.png"), files) == picture(1)
    assert dropped(encoded, "b.png", files).detail == f"{tmp_path / 'b.png'}: no such file"
    assert dropped(encoded, "x" * 5000, files).reason is Reason.UNREADABLE_IMAGE
    assert dropped(encoded, " ", files).reason is Reason.NO_IMAGE
    assert dropped(encoded, 7, files).detail == "an image is given as int"
    text = base64.b64encode(picture(3)).decode()
    assert encoded_or_base64(text, files) == picture(3)
    assert encoded_or_base64(f"data:image/png;base64,{text}", files) == picture(3)
    assert encoded_or_base64("a.png", files) == picture(1)
    assert "broken base64" in dropped(encoded_or_base64, f"data:image/png;base64,{text[:-3]}", files).detail


@pytest.mark.parametrize("name", ["../a.png", "sub/../../a.png", "/etc/hostname", "file:///etc/hostname", "x\0.png"])
def test_files_outside_the_folder_are_not_read(name, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "data" / "sub").mkdir(parents=True)
    assert dropped(encoded, name, Files(tmp_path / "data")).reason is Reason.UNREADABLE_IMAGE
    assert dropped(encoded, str(tmp_path / "a.png"), Files(tmp_path / "data")).reason is Reason.UNREADABLE_IMAGE
    assert "come without files" in dropped(encoded, "a.png", Files(None)).detail


def test_an_archive_is_read_where_it_lies(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("images/a.png", picture(1))
    assert Files(tmp_path).read("images/a.png") == picture(1)
    assert dropped(Files(tmp_path).read, "a.png").reason is Reason.UNREADABLE_IMAGE
    broken = (tmp_path / "images.zip").read_bytes().replace(picture(1)[20:40], b"x" * 20)
    (tmp_path / "images.zip").write_bytes(broken)
    assert "Bad CRC" in dropped(Files(tmp_path).read, "images/a.png").detail
    (tmp_path / "images.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="images.zip: no readable zip archive"):
        Files(tmp_path).read("images/a.png")


def test_members_that_cannot_be_read_drop_their_row(tmp_path, monkeypatch) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("odd.png", picture(1))
        archive.writestr("locked.png", picture(2))
    content = bytearray(path.read_bytes())
    for name, offset, value in ((b"odd.png", 8, 97), (b"locked.png", 6, 1)):  # compression method, flag of encryption
        local = content.index(b"PK\x03\x04", content.index(name) - 30)
        central = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
        content[local + offset] = content[central + offset + 2] = value
    path.write_bytes(content)
    assert "compression" in dropped(Files(tmp_path).read, "odd.png").detail
    assert "encrypted" in dropped(Files(tmp_path).read, "locked.png").detail
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", b"0" * (MAX_BYTES + 1))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("read before its size was looked at"))
    assert dropped(Files(tmp_path).read, "zeros.png").reason is Reason.LARGE_IMAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What?\nOptions: A: a cat, B: a dog", ("a cat", "a dog")),
        ("What?\nOptions: A: a cat., B: a dog, black or white, C: both", ("a cat.", "a dog, black or white", "both")),
        ("What?\nChoices:\nA:40°\nB:60°", ("40°", "60°")),
        ("What?\nChoices:\n(A) Yes\n(B) No", ("Yes", "No")),
        ("What?\nChoice:\nA. 090^\\circ T\nB. 180^\\circ T", ("090^\\circ T", "180^\\circ T")),
        ("What?\nOptions:\nA) x\nC) y", ()),
        ("What?\nOptions: A: one only", ()),
        ("Options: none of them", ()),
        ("Which of A: 1, B: 2?", ()),
        ("", ()),
    ],
)
def test_choices_in_a_text(text, expected) -> None:
    assert read_options(text) == expected


@given(st.lists(st.text(alphabet="abc 012.°", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=8))
def test_choices_are_read_as_they_were_written(choices) -> None:
    for form, joint in (("{}: {}", ", "), ("({}) {}", "\n"), ("{}. {}", "\n")):
        lines = [form.format(chr(65 + number), text) for number, text in enumerate(choices)]
        assert read_options(f"What?\nOptions: {joint.join(lines)}") == tuple(choices)


def test_values_by_their_kind() -> None:
    row = {"text": "a", "number": 2, "real": 2.0, "digits": " 3", "none": None, "list": ["a"], "mixed": ["a", 1]}
    assert [fields.text(row, key) for key in ("text", "number", "none", "absent")] == ["a", "2", "", ""]
    assert [fields.whole(row, key) for key in ("number", "real", "none")] == [2, 2, 0]
    assert fields.texts(row, "list") == ("a",) and fields.texts(row, "none") == ()
    assert fields.mapping(row, "none") == {} and fields.many(row, "mixed") == ["a", 1]
    assert dropped(fields.texts, row, "mixed").detail == "mixed is ['a', 1], not a list of texts"
    assert dropped(fields.text, row, "list").detail == "list is ['a'], not a text"
    nan, infinite = float("nan"), float("inf")
    assert (fields.text({"x": nan}, "x"), fields.whole({"x": nan}, "x"), fields.texts({"x": nan}, "x")) == ("", 0, ())
    assert dropped(fields.text, {"x": infinite}, "x").detail == "x is inf, not a text"
    assert dropped(fields.whole, {"x": infinite}, "x").detail == "x is inf, not a whole number"
    assert dropped(fields.whole, {"x": 10**400}, "x").reason is Reason.OTHER_FORM
    assert (
        dropped(fields.text, {"x": "a\ud800"}, "x").detail == "x holds half a surrogate pair, '\\ud800', at character 1"
    )
    assert dropped(fields.whole, {"x": True}, "x").reason is Reason.OTHER_FORM
    assert dropped(fields.mapping, row, "text").detail == "text is 'a', not a struct"
    assert dropped(fields.many, {"x": "y" * 200}, "x").detail == f"x is '{'y' * 76}..., not a list"
