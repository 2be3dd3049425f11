# SPDX-License-Identifier: Apache-2.0
"""The `df.loss:` block."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat

from verl_df.io.validation import Choice, checked


class LossKind(Choice):
    """What is added to the policy loss."""

    OFF = "off"
    FIPO = "fipo"
    PAPO = "papo"


# The authors' share of black patches.
PAPO_HIDDEN = 0.6


@checked
class LossConfig:
    """What another method changes inside the policy loss, on top of gate and weights.

    Attributes:
        kind: `off`; `fipo`: each token's advantage times a factor of how the policy has moved on the tokens after it
            since the batch was sampled (docs/controls.md). At the first optimiser step of a batch the factor is 1.
            `papo`: a term that rewards tokens for depending on the picture, of which one more pass hides a part.
        low: least factor of `fipo`.
        high: largest factor of `fipo`; with low = high = 1 it is the base algorithm.
        half_life: tokens after which a later token counts half, for `fipo`.
        coefficient: of the term of `papo`; with 0 it is the base algorithm. The authors take 0.01 with DAPO, and where
            there is no KL term to the reference.
    """

    kind: LossKind = LossKind.OFF
    low: Annotated[float, Field(ge=0, le=1)] = 1.0
    high: Annotated[float, Field(ge=1)] = 1.2
    half_life: PositiveFloat = 32.0
    coefficient: NonNegativeFloat = 0.02

    @property
    def hidden(self) -> float | None:
        """The share of the picture's patches that is black in the pass that this loss needs; None: it needs none."""
        return PAPO_HIDDEN if self.kind is LossKind.PAPO else None
