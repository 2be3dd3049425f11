# SPDX-License-Identifier: Apache-2.0
"""Every objective as a choice of verl's parts, and the only difference of each from its base.

An objective is an advantage estimator, a policy loss with its aggregation, and a group mode. The gate sits in the
advantages (Eq. 21), so a loss needs no change: verl's clipped losses are positively homogeneous in the advantage, and
an advantage of zero gives a gradient of zero. KL and entropy terms, ratios and denominators are over whole responses.

- DF-GRPO, DF-GSPO, DF-DAPO: the group becomes wrong rollouts and their repairs (Eq. 16), both sides gated (Eq. 20).
- DF-PPO: wrong rollouts are gated, right ones are not (Eq. 25-28); no repair is trained on, the critic's returns are
  not gated.
- gate only: as DF-PPO, for the other bases.

`recipe/df/config/objective/NAME.yaml` sets verl's keys for each; a test compares the two.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Base:
    """An algorithm of verl that a gate of ones gives back.

    Attributes:
        name: in words.
        estimator, loss: names in verl's registries.
        clip: how the ratio is clipped.
        aggregation: verl's `loss_agg_mode`.
    """

    name: str
    estimator: str
    loss: str
    clip: str
    aggregation: str


@dataclass(frozen=True)
class Mode:
    """What a group mode does to a base. gate: which tokens of which rows it reaches; rows: which rows are trained on;
    difference: the only difference from the base.
    """

    gate: str
    rows: str
    difference: str


MODES = {
    "repair_pairs": Mode(
        gate="m on wrong rollouts, m′ on repairs",
        rows="wrong rollouts and their repairs",
        difference="the group is wrong rollouts and their repairs, and the advantage is gated",
    ),
    "gate_only": Mode(
        gate="m on wrong rollouts, 1 on right ones",
        rows="all rollouts, no repair",
        difference="the advantage of wrong rollouts is gated; returns are not",
    ),
}


@dataclass(frozen=True)
class Objective:
    """One objective: a base in a group mode.

    Attributes:
        name: of the config group's file.
        base: the algorithm of verl.
        mode: `df.group.mode`.
        equations: of the paper.
    """

    name: str
    base: Base
    mode: str
    equations: str

    @property
    def base_estimator(self) -> str:
        """verl's estimator, which ours calls."""
        return self.base.estimator

    @property
    def estimator(self) -> str:
        """Ours, in verl's registry."""
        return f"df_{self.base.estimator}"

    @property
    def base_loss(self) -> str:
        """verl's policy loss, which ours calls."""
        return self.base.loss

    @property
    def loss(self) -> str:
        """Ours, in verl's registry."""
        return f"df_{self.base.loss}"

    @property
    def ratio(self) -> str:
        """`token`, w_t of Eq. 18, or `sequence`, exp of its mean log over the response."""
        return "sequence" if self.base.loss == "gspo" else "token"

    @property
    def clip(self) -> str:
        """How the ratio is clipped."""
        return self.base.clip

    @property
    def aggregation(self) -> str:
        """verl's `loss_agg_mode`."""
        return self.base.aggregation

    @property
    def gate(self) -> str:
        """Which tokens of which rows the gate reaches."""
        return MODES[self.mode].gate

    @property
    def rows(self) -> str:
        """Which rows are trained on."""
        return MODES[self.mode].rows

    @property
    def difference(self) -> str:
        """The only difference from the base."""
        return MODES[self.mode].difference


_SYMMETRIC = "1 ± ε; dual clip c"
_GRPO = Base("GRPO", "grpo", "vanilla", _SYMMETRIC, "seq-mean-token-mean")
_GSPO = Base("GSPO", "grpo", "gspo", "1 - ε_low, 1 + ε_high; no dual clip", "seq-mean-token-mean")
_DAPO = Base(
    "DAPO (dynamic sampling of the initial group, overlong shaping)",
    "grpo",
    "vanilla",
    "1 - ε_low, 1 + ε_high; dual clip c",
    "token-mean",
)
_PPO = Base("PPO with a critic", "gae", "vanilla", _SYMMETRIC, "token-mean")
_RLOO = Base("RLOO", "rloo", "vanilla", _SYMMETRIC, "token-mean")
_REINFORCE_PLUS_PLUS = Base("REINFORCE++", "reinforce_plus_plus", "vanilla", _SYMMETRIC, "token-mean")

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("df_grpo", _GRPO, "repair_pairs", "11-23"),
        Objective("df_gspo", _GSPO, "repair_pairs", "11-23"),
        Objective("df_dapo", _DAPO, "repair_pairs", "11-23"),
        Objective("df_ppo", _PPO, "gate_only", "25-28"),
        Objective("grpo_gate_only", _GRPO, "gate_only", "21, 26"),
        Objective("gspo_gate_only", _GSPO, "gate_only", "21, 26"),
        Objective("dapo_gate_only", _DAPO, "gate_only", "21, 26"),
        Objective("rloo_gate_only", _RLOO, "gate_only", "21, 26"),
        Objective("reinforce_plus_plus_gate_only", _REINFORCE_PLUS_PLUS, "gate_only", "21, 26"),
    )
}

# The group modes that each estimator is for. Where the paper trains on no repaired row, none is offered: a critic has
# no value of a response that the policy did not sample, and a mean over the batch would shift with the rows added.
ESTIMATORS: dict[str, tuple[str, ...]] = {
    "df_grpo": ("repair_pairs", "gate_only", "off"),
    "df_rloo": ("gate_only", "off"),
    "df_reinforce_plus_plus": ("gate_only", "off"),
    "df_gae": ("gate_only", "off"),
}
LOSSES = ("df_vanilla", "df_gspo")


def markdown_table() -> str:
    """The table of all objectives, as it stands in `recipe/df/README.md`: one row each, no line break at the end."""
    head = ("objective", "estimator", "ratio", "clip", "aggregation", "gate", "rows trained", "equations", "file")
    lines = [head, ("---",) * len(head), *(_cells(one) for one in OBJECTIVES.values())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(one: Objective) -> tuple[str, ...]:
    return (
        f"`{one.name}`",
        f"`{one.estimator}` = `{one.base_estimator}` × g",
        one.ratio,
        one.clip,
        f"`{one.aggregation}`",
        one.gate,
        one.rows,
        one.equations,
        f"`advantage.py` (`{one.estimator}_advantage`), `loss.py` (`{one.loss}_loss`)",
    )
