# SPDX-License-Identifier: Apache-2.0
"""The `df.loss:` block."""

from typing import Annotated

from pydantic import Field, PositiveFloat

from verl_df.io.validation import Choice, checked


class LossKind(Choice):
    """What is added to the policy loss."""

    OFF = "off"
    FIPO = "fipo"


@checked
class LossConfig:
    """What another method changes inside the policy loss, on top of gate and weights.

    Attributes:
        kind: `off`; `fipo`: each token's advantage times a factor of how the policy has moved on the tokens after it
            since the batch was sampled (docs/controls.md). At the first optimiser step of a batch the factor is 1.
        low: least factor of `fipo`.
        high: largest factor of `fipo`; with low = high = 1 it is the base algorithm.
        half_life: tokens after which a later token counts half, for `fipo`.
    """

    kind: LossKind = LossKind.OFF
    low: Annotated[float, Field(ge=0, le=1)] = 1.0
    high: Annotated[float, Field(ge=1)] = 1.2
    half_life: PositiveFloat = 32.0
