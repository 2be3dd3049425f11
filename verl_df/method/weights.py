# SPDX-License-Identifier: Apache-2.0
"""What a prompt weighs in the objective (Eq. 22)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np


def prompt_weights(uids: Sequence[str | None]) -> np.ndarray:
    """Factors on the advantages of rows with which a mean over rows becomes Eq. 22's E_x[1/|G(x)| Σ_z ...].

    A group of Difference Feedback has as many rows as the prompt has errors and repairs, so a mean over all rows of the
    batch would give a prompt with many errors more weight. The factor is the mean size of a group over that of the
    row's own, and 1 for groups of one size. Clipped losses are positively homogeneous in the advantage, so it is a
    factor on the row's term.

    Args:
        uids: of each row's prompt; None for rows that are not trained on.

    Returns:
        float32 [rows, 1]; their mean over the rows that are trained on is 1.
    """
    sizes = Counter(uid for uid in uids if uid is not None)
    mean = sizes.total() / max(1, len(sizes))
    factors = [1.0 if uid is None else mean / sizes[uid] for uid in uids]
    return np.array(factors, dtype=np.float32).reshape(-1, 1)
