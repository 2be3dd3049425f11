# SPDX-License-Identifier: Apache-2.0
"""Audits of a run as JSON lines: one record per repair that was put before the auditor."""

from typing import Annotated

from pydantic import Field

from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.judges.failure_mode import FailureMode, check_verdict


@checked
class AuditRecord:
    """One audited repair.

    Attributes:
        id: of the audit, unique in a file.
        step: training step, None outside training.
        question: the user text of x.
        images: file names, empty where none were kept.
        response: y.
        repair: ŷ.
        reference: a.
        counterfactual: the repair made from the removed image, where there is one.
        ground_truth: the annotated answer.
        r_task: of the repair, in [0, 1].
        hacking: the verdict; None where the audit failed.
        failure_mode: the kind of reward hacking; None with `hacking`.
        evidence: the auditor's words.
        failure: why there is no verdict (a name of `FailureReason`), else None.
        g_aud: 0 or 1 (Eq. 4), after the rule for failed audits.

    Raises:
        ValueError: a verdict beside a failure, neither of the two, or hacking without a mode (and the reverse).
    """

    id: str
    step: int | None
    question: str
    images: Listed[str]
    response: str
    repair: str
    reference: str
    counterfactual: str | None
    ground_truth: str
    r_task: Annotated[float, Field(ge=0, le=1)]
    hacking: bool | None
    failure_mode: FailureMode | None
    evidence: str
    failure: str | None
    g_aud: Annotated[int, Field(ge=0, le=1)]

    def __post_init__(self) -> None:
        missing = [self.hacking is None, self.failure_mode is None, self.failure is not None]
        if any(missing) != all(missing):
            raise ValueError("an audit has either a failure, or both hacking and failure_mode")
        if self.hacking is not None and self.failure_mode is not None:
            check_verdict(self.hacking, self.failure_mode)


AUDITS = Lines(AuditRecord, version=1, what="an audit")
