# SPDX-License-Identifier: Apache-2.0
"""Image removal: x_∅ = (I_∅, q), the question with a picture that shows nothing (section 3.3, Eq. 3).

Of a video each frame is replaced.

Used by the counterfactual call of the repair reward, by the filter of the repair data, and by the repair evaluation.
"""

from typing import Literal, get_args

import numpy as np
from PIL import Image

from verl_df.method.checks import check_choice

Removal = Literal["blank", "noise"]
REMOVALS = get_args(Removal)


def remove_image(image: Image.Image, kind: str, seed: int = 0) -> Image.Image:
    """I_∅ of one picture: same size, RGB, all zeros ("blank") or uniform random noise ("noise").

    The size stays, so that the prompt keeps its number of image tokens. seed: of the noise; the same seed and size give
    the same noise. Raises: ValueError for another kind.
    """
    check_choice("image removal", kind, REMOVALS)
    if kind == "blank":
        return Image.new("RGB", image.size)
    width, height = image.size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)
