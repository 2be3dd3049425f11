# SPDX-License-Identifier: Apache-2.0
"""The `df.weight:` block."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from verl_df.io.validation import Choice, checked


class WeightKind(Choice):
    """Whose weights."""

    OFF = "off"
    LOW_PROBABILITY = "low_probability"
    HIGH_PROBABILITY = "high_probability"
    TOP_ENTROPY = "top_entropy"
    ENTROPY = "entropy"
    VPPO = "vppo"
    PGPO = "pgpo"
    TOR = "tor"
    RLSD = "rlsd"


class Scope(Choice):
    """Over what the tokens with the highest scores are chosen."""

    BATCH = "batch"
    RESPONSE = "response"


class Mass(Choice):
    """How large the weights of a response are together."""

    RESPONSE = "response"
    MASS = "mass"


# The published values of each kind that has the key.
STRENGTHS = {
    WeightKind.LOW_PROBABILITY: 0.2,
    WeightKind.HIGH_PROBABILITY: 0.2,
    WeightKind.ENTROPY: 0.1,
    WeightKind.VPPO: 0.1,
    WeightKind.PGPO: 1.0,
    WeightKind.RLSD: 0.5,
}
SHARES = {WeightKind.TOP_ENTROPY: 0.2, WeightKind.VPPO: 0.4, WeightKind.TOR: 0.3}
SCOPES = {WeightKind.TOP_ENTROPY: Scope.BATCH, WeightKind.VPPO: Scope.RESPONSE, WeightKind.TOR: Scope.BATCH}
CLIPS = {WeightKind.RLSD: 0.2}
# Kinds whose weights would be negative above a strength of 1.
AT_MOST_ONE = (WeightKind.HIGH_PROBABILITY, WeightKind.VPPO, WeightKind.PGPO, WeightKind.RLSD)


@checked
class WeightConfig:
    """Weights of another method on the advantages of all rows, besides the gate.

    Attributes:
        kind: `off`; `low_probability` w = 1 + α(1 − p_t); its opposite `high_probability` w = 1 − c + c·p_t;
            `top_entropy` w = 1 on the share of tokens with the highest entropy, else 0 ("80/20"); `entropy` more weight
            on uncertain tokens of right responses and on confident ones of wrong responses (our reading of GTPO). With
            one more pass of the policy, in which the picture is hidden: `vppo` w = f on the share of tokens that
            depend on it most, else 0, f a factor of the response; `pgpo` w larger where a token depends on it; `tor`
            w = 1 on the share of tokens with the highest entropy, ½ on the share that depends on the picture most, else
            0. With one more pass of the policy, in which the prompt shows a right response of the group: `rlsd` w
            larger where the token is then likelier and its advantage positive, or less likely and its advantage
            negative. docs/controls.md names the sources.
        strength: α, c, κ, 1 − β of `vppo`, the part of `pgpo` beside weights of 1, or λ of `rlsd`; null: the published
            one. With 0 the kind is the base algorithm (`vppo`: with share=1 as well).
        share: of the tokens that `top_entropy`, `vppo` and each set of `tor` keep; null: the published one. 1 is the
            base algorithm (`vppo`: with strength=0 as well).
        scope: over what they are chosen: the `batch`, or each `response` by itself; null: the published one.
        clip: ε of `rlsd`, whose ratio stays within 1 − ε and 1 + ε; null: the published one.
        mass: `response`: as published; `mass`: weights scaled so that their mean over a response is 1, by at most 10.
        seed: of the draw among equal tokens, of the patches that `vppo` hides, and of the response that `rlsd` shows.
    """

    kind: WeightKind = WeightKind.OFF
    strength: NonNegativeFloat | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    scope: Scope | None = None
    clip: Annotated[float, Field(gt=0, le=1)] | None = None
    mass: Mass = Mass.RESPONSE
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        for name, kinds in (("strength", STRENGTHS), ("share", SHARES), ("scope", SCOPES), ("clip", CLIPS)):
            if getattr(self, name) is not None and self.kind not in kinds:
                raise ValueError(
                    f"df.weight.{name}={getattr(self, name)} has no effect with kind={self.kind}: it is for "
                    f"{', '.join(kinds)}"
                )
        if self.kind in AT_MOST_ONE and self.strength is not None and self.strength > 1:
            raise ValueError(f"df.weight.strength={self.strength}: with {self.kind} at most 1, no weight below 0")

    @property
    def value(self) -> float:
        """The strength, or the published one."""
        return STRENGTHS[self.kind] if self.strength is None else self.strength

    @property
    def kept(self) -> float:
        """The share, or the published one."""
        return SHARES[self.kind] if self.share is None else self.share

    @property
    def over(self) -> Scope:
        """The scope, or the published one."""
        return SCOPES[self.kind] if self.scope is None else self.scope

    @property
    def within(self) -> float:
        """The clip, or the published one."""
        return CLIPS[self.kind] if self.clip is None else self.clip
