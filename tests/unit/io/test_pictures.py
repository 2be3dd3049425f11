# SPDX-License-Identifier: Apache-2.0
"""A picture is what verl gives the policy; what verl would damage, or should not be given, is refused."""

import base64
import os
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from verl.utils.dataset.vision_utils import process_image

from tests.unit.rows.pictures import damaged, encode, noise, readable
from verl_df.io.picture_sources import MAX_BYTES, PictureError, PictureFault, stored
from verl_df.io.pictures import (
    MAX_PIXELS,
    PATCH_SIZES,
    as_png,
    check_picture,
    forbid_programs,
    item_picture,
    load_picture,
)

READABLE = readable()
SIDES = [(1, 200), (200, 1), (1, 201), (2, 402), (27, 400), (41, 5600), (5700, 41), (47, 9400)]
NO_PICTURES = ["http://127.0.0.1/x", "https://x/y.png", "", "\0", "a\ud800", "x" * 5000, "data:image/png;base64,!"]


def same(ours: Image.Image, theirs: Image.Image) -> bool:
    return (ours.mode, ours.size, ours.tobytes()) == (theirs.mode, theirs.size, theirs.tobytes())


def fault(function: Any, *arguments: Any) -> PictureFault:
    with pytest.raises(PictureError) as caught:
        function(*arguments)
    return caught.value.fault


def test_there_are_enough_pictures_to_compare() -> None:
    assert len(set(READABLE.values())) == len(READABLE) >= 60


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("patch_size", PATCH_SIZES)
def test_pixels_are_those_that_verl_gives_the_policy(name: str, patch_size: int, tmp_path: Path) -> None:
    content, path = READABLE[name], tmp_path / "picture"
    path.write_bytes(content)
    theirs = process_image({"bytes": content}, image_patch_size=patch_size)
    assert same(load_picture(content, patch_size), theirs)
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    for source in (str(path), f"file://{path}", url):
        assert same(process_image({"image": source}, image_patch_size=patch_size), theirs)
        assert same(item_picture({"type": "image", "image": source}, patch_size), theirs)
        assert stored(source) == content
    assert same(item_picture({"type": "image", "image": Image.open(BytesIO(content))}, patch_size), theirs)
    sizes = {"min_pixels": 300 * (2 * patch_size) ** 2}
    larger = process_image({"image": str(path), **sizes}, image_patch_size=patch_size)
    assert same(item_picture({"type": "image", "image": str(path), **sizes}, patch_size), larger)
    assert same(process_image({"bytes": as_png(content)}, image_patch_size=patch_size), theirs)


@pytest.mark.parametrize("name", READABLE)
def test_what_people_are_shown_has_the_pictures_own_size_and_nothing_but_pixels(name: str) -> None:
    with Image.open(BytesIO(READABLE[name])) as given, Image.open(BytesIO(as_png(READABLE[name]))) as shown:
        assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", given.size)
        shown.load()
        assert not shown.getexif() and not shown.info
    assert check_picture(READABLE[name]) == shown.size


def test_transparency_is_white() -> None:
    clear = encode(Image.new("RGBA", (28, 56), (0, 0, 0, 0)), "PNG")
    assert load_picture(clear).getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("name", damaged())
def test_what_verl_would_clip_is_refused(name: str) -> None:
    content = damaged()[name]
    low, high = zip(*process_image({"bytes": content}).getextrema(), strict=True)
    assert fault(check_picture, content) is fault(load_picture, content) is PictureFault.DEEP
    assert max(high) <= 1 or min(high) == 255, low


# ---- formats, sizes, programs ----------------------------------------------------------------------------------------


def eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 40\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_picture_runs_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    program, called = tmp_path / "gs", tmp_path / "called"
    program.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for allowed in (None, False):
        monkeypatch.setattr(EpsImagePlugin, "gs_binary", allowed)
        assert fault(check_picture, eps()) is PictureFault.UNREADABLE
        assert not called.exists()
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    forbid_programs()
    with pytest.raises(OSError, match="Ghostscript"):
        process_image({"bytes": eps()})
    assert not called.exists(), "verl in this process, too"
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(Exception, match="gs"):
        process_image({"bytes": eps()})
    assert called.exists(), "it would be run otherwise"


def huge_png(width: int, height: int) -> bytes:
    """A PNG of black pixels in few bytes, so that nobody has to hold it in memory."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(1 + (width + 7) // 8) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 13_300, 20_000])
def test_a_picture_of_too_many_pixels_is_not_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert side * side > MAX_PIXELS
    content = huge_png(side, side)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    for function in (check_picture, load_picture, as_png):
        assert fault(function, content) is PictureFault.LARGE


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda *_: pytest.fail("read"))
    assert fault(stored, str(path)) is PictureFault.LARGE
    assert fault(stored, "data:image/png;base64," + "A" * (MAX_BYTES * 3 // 2)) is PictureFault.LARGE


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
@pytest.mark.parametrize(
    "size", [(1, 200), (200, 1), (1, 201), (2, 402), (27, 400), (41, 5600), (41, 5700), (47, 9400)]
)
def test_narrow_pictures_are_those_that_one_of_the_processors_refuses(size: tuple[int, int], patch_size: int) -> None:
    """verl's reader makes the sides whole patches, and transformers' processor looks at their ratio again."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    def refused(patch: int) -> bool:
        try:
            width, height = process_image({"bytes": content}, image_patch_size=patch).size
            smart_resize(height, width, 2 * patch)
        except ValueError:
            return True
        return False

    content = encode(Image.new("RGB", size), "PNG")
    if any(map(refused, PATCH_SIZES)):
        assert fault(check_picture, content) is PictureFault.NARROW
    else:
        assert check_picture(content) == size


@pytest.mark.parametrize("cut", range(0, 1200, 97))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_broken_picture_is_named_as_one(form: str, cut: int) -> None:
    whole = encode(noise("RGB", (61, 47)), form)
    broken = whole[: len(whole) * cut // 1200]
    try:
        size = check_picture(broken)
    except PictureError as error:
        assert error.fault is PictureFault.UNREADABLE and "0x" not in error.detail
    else:
        assert size == process_image({"bytes": broken}).size or cut > 1000


# ---- where pictures lie ----------------------------------------------------------------------------------------------


def test_a_relative_path_is_verls_and_below_the_folder_of_the_data(tmp_path: Path, monkeypatch) -> None:
    red, blue = (encode(Image.new("RGB", (28, 56), colour), "PNG") for colour in ("red", "blue"))
    (tmp_path / "data").mkdir()
    (tmp_path / "x.png").write_bytes(red)
    (tmp_path / "data" / "x.png").write_bytes(blue)
    monkeypatch.chdir(tmp_path)
    assert stored("x.png") == red and stored("data/x.png", Path("data")) == blue
    assert stored(str(tmp_path / "data" / "x.png"), Path("data")) == blue
    for outside in ("x.png", "data/../x.png", str(tmp_path / "x.png"), "/etc/hostname", "file:///etc/hostname"):
        assert fault(stored, outside, Path("data")) is PictureFault.UNREADABLE
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert stored(str(tmp_path / "data" / "x.png"), Path("link")) == stored("link/x.png", Path("data")) == blue


@pytest.mark.parametrize("source", NO_PICTURES)
def test_nothing_else_is_read_or_fetched(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests.get", lambda *_, **__: pytest.fail("fetched"))
    for folder in (None, tmp_path):
        assert fault(stored, source, folder) is PictureFault.UNREADABLE
