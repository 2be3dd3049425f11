# SPDX-License-Identifier: Apache-2.0
"""What a part found: checks with their limits, and figures without one."""

import json
import math
import operator
from dataclasses import asdict, dataclass, field
from pathlib import Path

_COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, ">": operator.gt}


@dataclass(frozen=True)
class Check:
    """A number and what it must be. how: "<=", ">=", ">" or "=="."""

    name: str
    value: float
    how: str
    limit: float

    @property
    def passed(self) -> bool:
        """No number at all does not pass."""
        return not math.isnan(self.value) and _COMPARE[self.how](self.value, self.limit)

    def __str__(self) -> str:
        said = "ok" if self.passed else "FAILED"
        return f"{said:<6} {self.name}: {self.value:.6g}, wanted {self.how} {self.limit:g}"


@dataclass
class Outcome:
    """Of one part.

    Attributes:
        part: its name.
        gpu: whether it ran on one.
        checks: must all pass, and there must be some.
        figures: what is worth knowing, by name; GiB where the name ends in `_gib`.
    """

    part: str
    gpu: bool
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def check(self, name: str, value: float, how: str, limit: float) -> None:
        """Add a check."""
        self.checks.append(Check(name, float(value), how, float(limit)))

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    def write(self, folder: Path) -> None:
        """Write FOLDER/PART.json."""
        checks = [asdict(check) | {"passed": check.passed} for check in self.checks]
        content = {"part": self.part, "gpu": self.gpu, "passed": self.passed, "checks": checks, "figures": self.figures}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.part}.json").write_text(json.dumps(content, indent=1) + "\n")

    def lines(self) -> list[str]:
        """What is printed: figures, then checks."""
        return [*(f"       {name}: {value:.6g}" for name, value in self.figures.items()), *map(str, self.checks)]
