# SPDX-License-Identifier: Apache-2.0
"""Pictures as verl 0.9.1 gives them to the policy: everybody who looks at one gets it from here.

verl opens a picture with Pillow, and qwen_vl_utils makes it RGB and gives it sides of whole patches. Here the same is
done by the same functions, after what they would damage, or should not be given, is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from verl_df.io.picture_sources import PictureError, PictureFault, stored

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
MAX_PIXELS = 64_000_000
"""Of a picture, known before it is decoded. Decoding takes 4 to 6 bytes a pixel."""
MAX_RATIO = 200
"""Of the sides: from there on both readers of verl's Qwen-VL path refuse, qwen_vl_utils and transformers."""
PATCH_SIZE = 14
"""Pixels. verl's own default, where a model's image processor names no other."""
PATCH_SIZES = (14, 16)
"""Of the supported models: Qwen2.5-VL and InternVL, Qwen3-VL."""
SIZE_KEYS = ("min_pixels", "max_pixels", "resized_height", "resized_width")
"""Of an image item, which qwen_vl_utils reads."""
_ROUNDING = 1.5  # the short side may lose a third when it is rounded to whole patches


def forbid_programs() -> None:
    """Keep Pillow from running Ghostscript on a picture, in this process, whoever opens it."""
    EpsImagePlugin.gs_binary = False


def load_picture(content: bytes, patch_size: int = PATCH_SIZE) -> Image.Image:
    """The picture that verl's `process_image` makes of encoded bytes: RGB, sides of whole patches.

    Args:
        content: the file.
        patch_size: pixels of the model's vision patches; see `patch_size_of`.

    Raises:
        PictureError: as `check_picture`.
    """
    with _opened(content) as picture:
        return _fitted(picture, patch_size, {})


def item_picture(item: dict[str, Any], patch_size: int = PATCH_SIZE) -> Image.Image:
    """The same of an image item of a prompt's messages, in which verl has opened the picture, or left its path."""
    source = item["image"] if "image" in item else item["image_url"]
    sizes = {key: item[key] for key in SIZE_KEYS if key in item}
    if isinstance(source, Image.Image):
        return _fitted(source, patch_size, sizes)
    with _opened(stored(source)) as picture:
        return _fitted(picture, patch_size, sizes)


def _fitted(picture: Image.Image, patch_size: int, sizes: Mapping[str, int]) -> Image.Image:
    """A picture as the policy sees it: transparency on white, RGB, sides of whole patches."""
    from qwen_vl_utils import fetch_image  # seconds of imports

    return fetch_image({**sizes, "image": picture}, image_patch_size=patch_size)


def patch_size_of(processor: Any) -> int:
    """Pixels of the patches of a model, by its processor, as verl looks it up."""
    return getattr(getattr(processor, "image_processor", None), "patch_size", PATCH_SIZE)


def as_png(content: bytes) -> bytes:
    """A plain RGB PNG of the pixels that verl reads, in the picture's own size: for people, and for sets."""
    from qwen_vl_utils.vision_process import to_rgb

    with _opened(content) as picture:
        return _png(to_rgb(picture))


def as_datasets_opens(content: bytes) -> bytes:
    """The picture of a column that `datasets` decodes before verl sees it: turned as its camera says, alpha dropped.

    Raises: PictureError, as `check_picture`.
    """
    from PIL import ImageOps

    with _opened(content) as picture:
        turned = picture.getexif().get(Image.ExifTags.Base.Orientation) is not None
        if not turned and picture.mode != "RGBA":
            return content
        return _png((ImageOps.exif_transpose(picture) if turned else picture).convert("RGB"))


def check_picture(content: bytes) -> tuple[int, int]:
    """Decode a picture as verl does, without resizing it. Returns width and height.

    Raises:
        PictureError: in no format of `FORMATS`, broken, too large or too narrow, or of more than 8 bits a channel.
    """
    with _opened(content) as picture:
        return picture.convert("RGB").size


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """The picture, not decoded yet; whatever the block raises is a PictureError, for decoders raise many things."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            _check_header(picture)
            yield picture
    except PictureError:
        raise
    except UnidentifiedImageError as error:  # its own text holds an address of this process
        problem = f"{len(content)} bytes in no known image format ({', '.join(FORMATS)} are read)"
        raise PictureError(PictureFault.UNREADABLE, problem) from error
    except Image.DecompressionBombError as error:
        raise PictureError(PictureFault.LARGE, str(error)) from error
    except Exception as error:  # broken files make Pillow's decoders raise nearly every built-in exception
        raise PictureError(PictureFault.UNREADABLE, str(error) or type(error).__name__) from error


def _check_header(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise PictureError(PictureFault.LARGE, f"{width} x {height} pixels, at most {MAX_PIXELS:,} are read")
    if picture.mode == "F" or picture.mode.startswith("I"):
        raise PictureError(
            PictureFault.DEEP, f"mode {picture.mode}, of which verl would clip all above 255: save it with 8 bits"
        )
    _check_sides(width, height)


def _check_sides(width: int, height: int) -> None:
    longer, shorter = max(width, height), min(width, height)
    narrow = shorter == 0 or longer > MAX_RATIO * shorter
    if not narrow and longer * _ROUNDING > MAX_RATIO * shorter:
        from qwen_vl_utils.vision_process import SPATIAL_MERGE_SIZE, smart_resize

        sides = [sorted(smart_resize(height, width, patch * SPATIAL_MERGE_SIZE)) for patch in PATCH_SIZES]
        narrow = any(long > MAX_RATIO * short for short, long in sides)
    if narrow:
        raise PictureError(PictureFault.NARROW, f"{width} x {height} pixels")


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    Image.frombytes(picture.mode, picture.size, picture.tobytes()).save(buffer, format="PNG")  # pixels, nothing else
    return buffer.getvalue()
