# SPDX-License-Identifier: Apache-2.0
"""The `df.weight:` block."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from verl_df.io.validation import Choice, checked


class WeightKind(Choice):
    """Whose weights."""

    OFF = "off"
    LOW_PROBABILITY = "low_probability"
    HIGH_PROBABILITY = "high_probability"
    TOP_ENTROPY = "top_entropy"
    ENTROPY = "entropy"


class Scope(Choice):
    """Over what the tokens with the highest entropy are chosen."""

    BATCH = "batch"
    RESPONSE = "response"


class Mass(Choice):
    """How large the weights of a response are together."""

    RESPONSE = "response"
    MASS = "mass"


# The published value of each kind's strength.
STRENGTHS = {WeightKind.LOW_PROBABILITY: 0.2, WeightKind.HIGH_PROBABILITY: 0.2, WeightKind.ENTROPY: 0.1}


@checked
class WeightConfig:
    """Weights of another method on the advantages of all rows, besides the gate.

    Attributes:
        kind: `off`; `low_probability` w = 1 + α(1 − p_t); its opposite `high_probability` w = 1 − c + c·p_t;
            `top_entropy` w = 1 on the share of tokens with the highest entropy, else 0 ("80/20"); `entropy` more weight
            on uncertain tokens of right responses and on confident ones of wrong responses (our reading of GTPO).
            docs/controls.md names the sources.
        strength: α, c or κ of the kind; null: the published one. 0 is the base algorithm.
        share: of the tokens that `top_entropy` keeps; 1 is the base algorithm.
        scope: over what `top_entropy` chooses: the `batch`, or each `response` by itself.
        mass: `response`: as published; `mass`: weights scaled so that their mean over a response is 1, by at most 10.
        seed: of the draw among tokens of equal entropy.
    """

    kind: WeightKind = WeightKind.OFF
    strength: NonNegativeFloat | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    scope: Scope = Scope.BATCH
    mass: Mass = Mass.RESPONSE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strength is not None and self.kind not in STRENGTHS:
            raise ValueError(
                f"df.weight.strength={self.strength} has no effect with kind={self.kind}: it is for "
                f"{', '.join(STRENGTHS)}"
            )
        if self.kind is WeightKind.HIGH_PROBABILITY and self.strength is not None and self.strength > 1:
            raise ValueError(f"df.weight.strength={self.strength}: with high_probability at most 1, no weight below 0")

    @property
    def value(self) -> float:
        """The strength, or the published one."""
        return STRENGTHS[self.kind] if self.strength is None else self.strength
