# SPDX-License-Identifier: Apache-2.0
"""How many rows a conversion read, kept and dropped, and why: the content of summary.json, beside its settings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

# Ids that are named for each reason; all of them are in dropped.jsonl.
FIRST = 5


def summarise(rows: int, dropped: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Count. rows: read of the source; dropped: lines of dropped.jsonl. The commonest reason comes first."""
    counts, first = Counter[str](), defaultdict[str, list[str]](list)
    for line in dropped:
        counts[line["reason"]] += 1
        first[line["reason"]] = [*first[line["reason"]], line["id"]][:FIRST]
    reasons = sorted(counts, key=lambda reason: (-counts[reason], reason))
    named = {reason: {"rows": counts[reason], "first": first[reason]} for reason in reasons}
    return {"rows": rows, "kept": rows - counts.total(), "dropped": named}


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary for the terminal."""
    rows, kept = summary["rows"], summary["kept"]
    lines = [f"{rows} rows read, {kept} kept, {rows - kept} dropped"]
    for reason, found in summary["dropped"].items():
        more = ", ..." if found["rows"] > len(found["first"]) else ""
        lines.append(f"  {reason}: {found['rows']} ({', '.join(found['first'])}{more})")
    return lines
