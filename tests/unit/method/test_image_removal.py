# SPDX-License-Identifier: Apache-2.0
"""I_∅ of Eq. 3."""

import numpy as np
import pytest
from PIL import Image

from verl_df.method.image_removal import remove_image

PICTURE = Image.fromarray(np.full((8, 12, 3), 7, dtype=np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("kind", ["blank", "noise"])
def test_size_stays_and_mode_is_rgb(kind: str, mode: str) -> None:
    removed = remove_image(PICTURE.convert(mode), kind)
    assert (removed.size, removed.mode) == (PICTURE.size, "RGB")


def test_blank_is_all_zeros() -> None:
    assert not np.asarray(remove_image(PICTURE, "blank")).any()


def test_noise_is_uniform_and_follows_the_seed() -> None:
    large = PICTURE.resize((200, 200))
    first, again, other = (np.asarray(remove_image(large, "noise", seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert abs(first.mean() - 127.5) < 2 and first.min() == 0 and first.max() == 255


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'blank'"):
        remove_image(PICTURE, "blanc")
