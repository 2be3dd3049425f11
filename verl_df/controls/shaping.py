# SPDX-License-Identifier: Apache-2.0
"""A better reward for wrong responses that can be mended.

Source: IBPO, "Reducing Credit Assignment Variance via Counterfactual Reasoning Paths", by the authors' project page and
a third party's digest of the equations (the paper's text was not read). Theirs: R′ = r + λ·φ, φ = ρ where a correction
of a wrong response is right, else 0, λ about 0.6, ρ = 0.5. Our reading: λ and ρ multiply; a correction is not trained
on; it is right where DF's is, so one that is cut or changes an observation does not count.
"""

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from verl_df.io.validation import checked


@checked
class ShapingConfig:
    """What is added to the reward of a wrong rollout that has a right repair (IBPO).

    Attributes:
        strength: λ; 0: nothing (IBPO: 0.6).
        credit: ρ, which λ multiplies.
    """

    strength: NonNegativeFloat = 0.0
    credit: Annotated[float, Field(gt=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        if self.bonus >= 1:
            raise ValueError(
                f"df.shaping.strength={self.strength} with credit={self.credit} adds {self.bonus:g} to the reward of a "
                "wrong rollout that can be mended, which then is as good as a right one: keep their product below 1"
            )

    @property
    def bonus(self) -> float:
        """λ·ρ."""
        return self.strength * self.credit
