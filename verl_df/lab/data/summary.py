# SPDX-License-Identifier: Apache-2.0
"""How many rows a conversion read, kept and dropped, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

# Ids that are named for each reason; all of them are in dropped.jsonl.
FIRST = 5


@dataclass
class Summary:
    """rows: read of the source. kept: written. dropped: how many for each reason. first: some of their ids."""

    rows: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add what is known of one part."""
        self.rows += record["rows"]
        self.kept += record["kept"]
        for line in record["dropped"]:
            reason = line["reason"]
            self.dropped[reason] = self.dropped.get(reason, 0) + 1
            first = self.first.setdefault(reason, [])
            if len(first) < FIRST:
                first.append(line["id"])

    def as_json(self) -> dict[str, Any]:
        """For summary.json; the commonest reason first."""
        reasons = sorted(self.dropped, key=lambda reason: (-self.dropped[reason], reason))
        dropped = {reason: {"rows": self.dropped[reason], "first": self.first[reason]} for reason in reasons}
        return {"rows": self.rows, "kept": self.kept, "dropped": dropped}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `as_json` made."""
        dropped = content["dropped"]
        return cls(
            content["rows"],
            content["kept"],
            {reason: found["rows"] for reason, found in dropped.items()},
            {reason: found["first"] for reason, found in dropped.items()},
        )

    def lines(self) -> list[str]:
        """For the terminal."""
        told = [f"{self.rows} rows read, {self.kept} kept, {self.rows - self.kept} dropped"]
        for reason, found in self.as_json()["dropped"].items():
            more = ", ..." if found["rows"] > len(found["first"]) else ""
            told.append(f"  {reason}: {found['rows']} ({', '.join(found['first'])}{more})")
        return told
