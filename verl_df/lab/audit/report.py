# SPDX-License-Identifier: Apache-2.0
"""Figures of an audit log as a page and as JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_df.io.files import write_text
from verl_df.lab.agreement import Kappa
from verl_df.lab.audit.figures import Agreement, AuditFigures, Period, agreement, audit_figures, rate
from verl_df.lab.audit.labels import STRATA, read_labels, read_log
from verl_df.lab.markdown import markdown_table
from verl_df.lab.statistics import Interval


def write_report(log: Path, labels: Path | None, out: Path | None) -> str:
    """Compute the figures of a log; write `audit.json` and `audit.md` into `out`, if given. Returns the page.

    Raises:
        FileNotFoundError: no such log or labels file.
        ValueError: one of them is broken, or they do not belong together.
    """
    records = read_log(log)
    figures = audit_figures(records)
    compared = None if labels is None else agreement(records, read_labels(labels))
    page = render(figures, compared)
    if out is not None:
        content = {"audits": dataclasses.asdict(figures), "agreement": compared and dataclasses.asdict(compared)}
        write_text(out / "audit.json", json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n")
        write_text(out / "audit.md", page)
    return page


def render(figures: AuditFigures, compared: Agreement | None) -> str:
    """The page, in Markdown."""
    failed = figures.audits - figures.verdicts
    rows = [
        ["audits", str(figures.audits)],
        ["with a verdict", str(figures.verdicts)],
        ["without (failures)", _count(failed, figures.audits)],
        ["flagged", str(figures.flagged)],
        ["hit rate: flagged of those with a verdict", _interval(figures.hit_rate)],
        ["rejected (g_aud = 0), failures included", _count(figures.rejected, figures.audits)],
    ]
    parts = ["# Audits\n", markdown_table(["", ""], rows)]
    parts.append(_counts("Failure modes of flagged repairs", figures.failure_modes, figures.flagged))
    if figures.failures:
        parts.append(_counts("Audits without a verdict, by reason", figures.failures, figures.audits))
    if figures.periods:
        header = ["steps", "verdicts", "flagged", "hit rate", "failures"]
        parts.append("## Over training\n\n" + markdown_table(header, [_period(period) for period in figures.periods]))
    if compared is not None:
        parts.append(_agreement(compared))
    return "\n".join([*parts, "Brackets hold 95% intervals.\n"])


def _agreement(compared: Agreement) -> str:
    rows = [[f"auditor: {name}", *(str(compared.matrix[name][people]) for people in STRATA)] for name in STRATA]
    figures = [
        ["labelled", str(compared.labelled)],
        ["skipped", str(compared.skipped)],
        ["Cohen's kappa", _kappa(compared.kappa)],
        ["precision: flagged repairs that people flag", _interval(compared.precision)],
        ["recall: what people would flag in the log that the auditor flags", _interval(compared.recall)],
        ["hit rate of people in the whole log", _interval(compared.hit_rate)],
        ["same failure mode, of repairs that both flag", _count(compared.same_mode, compared.both_flagged)],
    ]
    matrix = markdown_table(["", *(f"people: {name}" for name in STRATA)], rows)
    note = "Kappa, recall and people's hit rate weight flagged and unflagged audits as the log has them.\n"
    return f"## Agreement with people\n\n{matrix}\n{markdown_table(['', ''], figures)}\n{note}"


def _counts(title: str, counts: Mapping[str, int], total: int) -> str:
    rows = [[name, _count(count, total)] for name, count in counts.items()]
    return f"## {title}\n\n{markdown_table(['', 'audits'], rows)}"


def _period(period: Period) -> list[str]:
    steps = str(period.first) if period.first == period.last else f"{period.first}–{period.last}"
    hit_rate = _interval(rate(period.flagged, period.verdicts))
    return [steps, str(period.verdicts), str(period.flagged), hit_rate, str(period.failed)]


def _count(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.1f}%)" if total else str(count)


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{100 * interval.estimate:.1f}% [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _kappa(kappa: Kappa | None) -> str:
    if kappa is None:
        return "– (a stratum of the log has no answer)"
    if math.isnan(kappa.value):
        return f"not defined: one of the two gave the same verdict on all {kappa.n}"
    return f"{kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}] (observed agreement {100 * kappa.observed:.1f}%)"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: an undefined kappa becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
