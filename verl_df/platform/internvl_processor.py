# SPDX-License-Identifier: Apache-2.0
"""transformers' InternVL processor as verl calls it."""

from typing import Any

import transformers
from transformers import BatchFeature


class InternVLProcessor(transformers.InternVLProcessor):
    """Differs from its base in one thing: a text without any image marker may come with images.

    verl asks for the image features of a finished rollout with the rollout's text, from which special tokens, the
    markers among them, were dropped; it keeps the features and throws the token ids away. Qwen's processors do not
    count, transformers' InternVL does. The name is the base's, for a checkpoint says by name which class to load.
    """

    def __call__(self, images: Any = None, text: Any = None, videos: Any = None, **options: Any) -> BatchFeature:
        """As the base. A text with some markers, but not one for each image, is refused as there."""
        texts = [text] if isinstance(text, str) else list(text)
        if images is not None and not any(self.image_token in item for item in texts):
            texts[0] = self.image_token * len(images) + texts[0]
        return super().__call__(images=images, text=texts, videos=videos, **options)
