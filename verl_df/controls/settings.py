# SPDX-License-Identifier: Apache-2.0
"""The `df.control:` block."""

from typing import Annotated

from pydantic import Field

from verl_df.io.validation import Choice, checked


class Control(Choice):
    """What is replaced. C1 to C14 are the names of the table in docs/controls.md."""

    OFF = "off"
    NO_GATE = "no_gate"  # C1
    RANDOM = "random"  # C2
    RANDOM_SPANS = "random_spans"  # C2s
    OTHER_ROW = "other_row"  # C2p
    COMPLEMENT = "complement"  # C3
    COMPLEMENT_RANDOM = "complement_random"  # C3d
    ORACLE_MASK = "oracle_mask"  # C4
    ORACLE_REPAIR = "oracle_repair"  # C5
    ANSWER_AFTER_REFERENCE = "answer_after_reference"  # C6a
    ANSWER_AGAIN = "answer_again"  # C6b
    SIBLING = "sibling"  # C7
    IMITATE_REPAIRS = "imitate_repairs"  # C8
    IMITATE_REPAIRS_MASKED = "imitate_repairs_masked"  # C8m
    IMITATE_RIGHT = "imitate_right"  # C8r
    ERRORS_ONLY = "errors_only"  # C9
    REPAIRS_ONLY = "repairs_only"  # C10
    GATE_ON_ERRORS = "gate_on_errors"  # C11
    GATE_ON_REPAIRS = "gate_on_repairs"  # C11
    SHIFTED = "shifted"  # C12
    DEGRADED_ORACLE = "degraded_oracle"  # C13
    FIRST_ERROR = "first_error"  # C14
    FROM_FIRST_ERROR = "from_first_error"  # C14


USES_EXACT_REPAIR = frozenset({Control.ORACLE_REPAIR, Control.DEGRADED_ORACLE})
# Their repairs come from elsewhere: no repair model is loaded.
NEVER_ASKS = USES_EXACT_REPAIR | {Control.SIBLING, Control.IMITATE_RIGHT}
# No reinforcement: the negative log-likelihood of right responses, each with the mode that has their rows.
IMITATES = {
    Control.IMITATE_REPAIRS: "repair_pairs",
    Control.IMITATE_REPAIRS_MASKED: "repair_pairs",
    Control.IMITATE_RIGHT: "gate_only",
}
# Repairs are answers of the policy that do not see y.
ANSWERS_AGAIN = frozenset({Control.ANSWER_AFTER_REFERENCE, Control.ANSWER_AGAIN})
USES_TRUTH = USES_EXACT_REPAIR | {Control.ORACLE_MASK, Control.FIRST_ERROR, Control.FROM_FIRST_ERROR}


@checked
class ControlConfig:
    """A control of the experiment: one part of the method replaced by something else, seeded.

    Attributes:
        kind: `off`: the method. Other gates on the same rows: `no_gate` g = 1; `random` as many marked tokens,
            anywhere; `random_spans` the same segments, anywhere; `other_row` the mask of another repaired pair of the
            batch, scaled to the length; `complement` the tokens that are not marked; `complement_random` as many of
            these as are marked; `errors_only` and `repairs_only` g = 0 on the other side; `gate_on_errors` and
            `gate_on_repairs` g = 1 on the other side; `shifted` the mask moved by `shift`.
            Other repairs: `sibling` the nearest right rollout of the group; with `df.repair.placement=policy`,
            `answer_again` fresh answers of the policy to the question alone, `answer_after_reference` to the question
            with the reference, neither sees the wrong response.
            No reinforcement, on the loss `df_gpg`: `imitate_repairs` −log π of all tokens of right repairs,
            `imitate_repairs_masked` of their marked tokens, `imitate_right` of right rollouts.
            With a known truth (`df.truth`): `oracle_mask` the wrong tokens of y; `first_error` their first segment;
            `from_first_error` every token from there on; `oracle_repair` the exact repair; `degraded_oracle` that
            repair with a mask of `recall` and `precision`.
        seed: of random draws, together with the step, the prompt and the rollout.
        shift: tokens by which `shifted` moves a mask; negative: to the left.
        recall: share of the marked tokens that `degraded_oracle` keeps, in expectation.
        precision: share of the tokens marked by `degraded_oracle` that are marked rightly.
    """

    kind: Control = Control.OFF
    seed: int = 0
    shift: int = 1
    recall: Annotated[float, Field(ge=0, le=1)] = 1.0
    precision: Annotated[float, Field(gt=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        numbers = {"shift": (Control.SHIFTED, 1), "recall": (Control.DEGRADED_ORACLE, 1.0)}
        numbers["precision"] = numbers["recall"]
        for name, (kind, default) in numbers.items():
            value = getattr(self, name)
            if self.kind is not kind and value != default:
                raise ValueError(f"df.control.{name}={value} has no effect with kind={self.kind}: it is for {kind}")
