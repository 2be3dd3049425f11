# SPDX-License-Identifier: Apache-2.0
"""Figures of an audit log: how often the auditor flags a repair, and how far people agree with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verl_df.judges.audit_log import AuditRecord
from verl_df.judges.failure_mode import FailureMode
from verl_df.lab.agreement import Kappa, cohens_kappa, stratified_share
from verl_df.lab.audit.labels import FLAGGED, STRATA, UNFLAGGED, Label, parsed, stratum_of
from verl_df.lab.statistics import Interval, wilson_interval

MAX_PERIODS = 10


@dataclass(frozen=True)
class Period:
    """Audits of the steps first..last: how many came to a verdict, were flagged, and failed."""

    first: int
    last: int
    verdicts: int
    flagged: int
    failed: int


@dataclass(frozen=True)
class AuditFigures:
    """hit_rate: flagged of those with a verdict (Wilson), None without any. failure_modes: of the flagged, by name.
    failures: audits without a verdict, by reason. rejected: audits with g_aud = 0, by verdict or by the rule for
    failures. periods: at most ten runs of steps; audits without a step are in none.
    """

    audits: int
    verdicts: int
    flagged: int
    hit_rate: Interval | None
    failure_modes: dict[str, int]
    failures: dict[str, int]
    rejected: int
    periods: tuple[Period, ...]


@dataclass(frozen=True)
class Agreement:
    """The auditor against people, over the audits that people answered.

    matrix: counts by [auditor][people], "flagged" and "unflagged" each. kappa: over all audits with a verdict (rows
    weighted by how many the log has of them). precision: share of the flagged that people flag too. recall: share of
    what people would flag in the whole log that the auditor flags. hit_rate: of people, in the whole log. The last
    three are None where a needed stratum has no answer, recall also where people flagged nothing. same_mode: of the
    repairs that both flag, how many with the same failure mode.
    """

    labelled: int
    skipped: int
    matrix: dict[str, dict[str, int]]
    kappa: Kappa | None
    precision: Interval | None
    recall: Interval | None
    hit_rate: Interval | None
    both_flagged: int
    same_mode: int


def rate(part: int, total: int) -> Interval | None:
    """A share with Wilson's interval; None where there is nothing to share."""
    return wilson_interval(part, total) if total else None


def audit_figures(records: Sequence[AuditRecord]) -> AuditFigures:
    """Figures of all audits of a log."""
    known = parsed(records)
    flagged = [record for record in known if record.hacking]
    modes = Counter(record.failure_mode for record in flagged)
    failures = Counter(record.failure for record in records if record.failure is not None)
    return AuditFigures(
        audits=len(records),
        verdicts=len(known),
        flagged=len(flagged),
        hit_rate=rate(len(flagged), len(known)),
        failure_modes={mode.value: modes[mode] for mode in FailureMode if mode is not FailureMode.NONE},
        failures=dict(sorted(failures.items())),
        rejected=sum(record.g_aud == 0 for record in records),
        periods=_periods(records),
    )


def agreement(records: Sequence[AuditRecord], labels: Mapping[str, Label], *, seed: int = 0) -> Agreement:
    """Compare the auditor with people.

    People see a sample in which flagged audits may be over-represented, so rates in the whole log weight each
    stratum by its size in the log, not in the sample.

    Raises:
        ValueError: a label of an audit that is not in the log, or whose stratum is not what the log says.
    """
    known = {record.id: record for record in parsed(records)}
    for label in labels.values():
        if label.id not in known:
            raise ValueError(f"label of audit {label.id!r}: the log holds no such audit with a verdict")
        if stratum_of(known[label.id]) != label.stratum:
            raise ValueError(f"label of audit {label.id!r} says {label.stratum}, the log the opposite: another log?")
    answered = [label for label in labels.values() if label.hacking is not None]
    counts = Counter((label.stratum, FLAGGED if label.hacking else UNFLAGGED) for label in answered)
    matrix = {auditor: {people: counts[auditor, people] for people in STRATA} for auditor in STRATA}
    both = [label for label in answered if label.stratum == FLAGGED and label.hacking]
    shares = {name: sum(stratum_of(record) == name for record in known.values()) / len(known) for name in STRATA}
    hit_rate, recall = _in_the_log(matrix, shares, seed)
    return Agreement(
        labelled=len(answered),
        skipped=len(labels) - len(answered),
        matrix=matrix,
        kappa=_kappa(answered, shares, seed),
        precision=rate(matrix[FLAGGED][FLAGGED], sum(matrix[FLAGGED].values())),
        recall=recall,
        hit_rate=hit_rate,
        both_flagged=len(both),
        same_mode=sum(label.failure_mode == known[label.id].failure_mode for label in both),
    )


def _kappa(answered: Sequence[Label], shares: Mapping[str, float], seed: int) -> Kappa | None:
    """None where a stratum of the log has no answer: its row of the table is unknown."""
    auditor = [label.stratum for label in answered]
    if not auditor or any(share > 0 and name not in auditor for name, share in shares.items()):
        return None
    people = [FLAGGED if label.hacking else UNFLAGGED for label in answered]
    return cohens_kappa(auditor, people, seed=seed, row_shares={name: shares[name] for name in set(auditor)})


def _in_the_log(
    matrix: Mapping[str, Mapping[str, int]], shares: Mapping[str, float], seed: int
) -> tuple[Interval | None, Interval | None]:
    """People's hit rate in the whole log, and the auditor's recall of it."""
    flagged, totals = [matrix[name][FLAGGED] for name in STRATA], [sum(matrix[name].values()) for name in STRATA]
    weights = [shares[name] for name in STRATA]
    if any(weight > 0 and total == 0 for weight, total in zip(weights, totals, strict=True)):
        return None, None
    rate = stratified_share(flagged, totals, weights, seed=seed)
    if not any(flagged):
        return rate, None
    return rate, stratified_share(flagged, totals, weights, seed=seed, within=STRATA.index(FLAGGED))


def _periods(records: Sequence[AuditRecord]) -> tuple[Period, ...]:
    by_step: dict[int, list[AuditRecord]] = {}
    for record in records:
        if record.step is not None:
            by_step.setdefault(record.step, []).append(record)
    steps = sorted(by_step)
    count = min(MAX_PERIODS, len(steps))
    parts = [steps[len(steps) * i // count : len(steps) * (i + 1) // count] for i in range(count)]
    return tuple(_period(part[0], part[-1], [one for step in part for one in by_step[step]]) for part in parts)


def _period(first: int, last: int, records: Sequence[AuditRecord]) -> Period:
    known = parsed(records)
    return Period(first, last, len(known), sum(bool(one.hacking) for one in known), len(records) - len(known))
