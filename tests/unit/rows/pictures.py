# SPDX-License-Identifier: Apache-2.0
"""Encoded pictures of every kind that a data set may hold, made here."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

SIZES = ((84, 56), (57, 91), (1, 1), (3, 400), (640, 31), (300, 210))
EXIF_ORIENTATION = 0x0112


def noise(mode: str, size: tuple[int, int]) -> Image.Image:
    """Random pixels; alpha has all values."""
    width, height = size
    rng = np.random.default_rng([width, height, len(mode)])
    rgba = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    picture = Image.fromarray(rgba, "RGBA")
    return picture.convert("RGB").convert(mode) if mode == "LAB" else picture.convert(mode)


def encode(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def oriented(form: str, orientation: int, mode: str = "RGB") -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return encode(noise(mode, (61, 47)), form, exif=exif)


def readable() -> dict[str, bytes]:
    """By what it is: modes, depths, alpha, orientation, sizes, formats. Each is read by verl, and loses nothing."""
    made = {}
    for form, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("L", "P", "RGB"),
        "BMP": ("1", "L", "P", "RGB", "RGBA"),
        "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"),
        "PPM": ("1", "L", "RGB"),
        "JPEG2000": ("L", "LA", "RGB", "RGBA"),
        "AVIF": ("RGB", "RGBA"),
    }.items():
        for mode in modes:
            made[f"{form} {mode}"] = encode(noise(mode, (61, 47)), form)
    for size in SIZES:
        made[f"PNG {size}"] = encode(noise("RGB", size), "PNG")
        made[f"JPEG {size}"] = encode(noise("RGB", size), "JPEG", quality=40)
        made[f"PNG alpha {size}"] = encode(noise("RGBA", size), "PNG")
    for orientation in range(1, 9):
        made[f"JPEG turned {orientation}"] = oriented("JPEG", orientation)
    for form in ("PNG", "WEBP", "TIFF"):
        made[f"{form} turned 6"] = oriented(form, 6)
    made["PNG alpha turned 8"] = oriented("PNG", 8, "RGBA")
    palette = noise("RGB", (61, 47)).quantize(16)
    made["PNG palette with a transparent colour"] = encode(palette, "PNG", transparency=3)
    made["GIF with a transparent colour"] = encode(palette, "GIF", transparency=3)
    made["PNG RGB with a transparent colour"] = encode(noise("RGB", (61, 47)), "PNG", transparency=(0, 0, 0))
    made["PNG interlaced grey of 2 bits"] = encode(noise("L", (61, 47)).quantize(4), "PNG", bits=2)
    for form in ("GIF", "MPO", "WEBP", "TIFF", "PNG"):
        frames = {"save_all": True, "append_images": [Image.new("RGB", (61, 47), "red")]}
        made[f"{form} of two frames"] = encode(noise("RGB", (61, 47)), form, **frames)
    made["TIFF of 16 bit colour"] = tiff_of_16_bit_colour()
    made["JPEG progressive"] = encode(noise("RGB", (300, 210)), "JPEG", progressive=True)
    return made


def tiff_of_16_bit_colour() -> bytes:
    """Pillow writes none: 8 x 6 pixels of 3 x 16 bit, which it reads by their high bytes."""
    width, height = 8, 6
    pixels = np.random.default_rng(0).integers(0, 1 << 16, width * height * 3, dtype="<u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 140), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(pixels)), (284, 3, 1, 1)]
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return head + struct.pack("<I3H", 0, 16, 16, 16) + pixels


def damaged() -> dict[str, bytes]:
    """What verl reads as another picture than it is."""
    ramp = np.linspace(0, 65535, 80 * 60).reshape(60, 80)
    return {
        "PNG of 16 bit grey": encode(Image.fromarray(ramp.astype(np.uint16)), "PNG"),
        "TIFF of 16 bit grey": encode(Image.fromarray(ramp.astype(np.uint16)), "TIFF"),
        "TIFF of 32 bit": encode(Image.fromarray(ramp.astype(np.int32)), "TIFF"),
        "TIFF of floats": encode(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF"),
        "PPM of floats": encode(Image.fromarray((ramp / 65535).astype(np.float32)), "PPM"),
        "JPEG2000 of 16 bit": encode(Image.fromarray(ramp.astype(np.uint16)), "JPEG2000"),
    }
