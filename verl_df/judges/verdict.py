# SPDX-License-Identifier: Apache-2.0
"""What a judge says of one response."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A verdict on a response.

    Attributes:
        extracted: the answer that was read, None where none was found.
        right: whether it is the right one.
        kind: of the ground truth, which decided how the two were compared; "" for a benchmark's own rule.
        why: the reason, for people.
        doubtful: whether the answer was refused because it can be read in more than one way.
    """

    extracted: str | None
    right: bool
    kind: str = ""
    why: str = ""
    doubtful: bool = False

    def scores(self) -> dict[str, float]:
        """What verl's reward managers take: the reward, and what they log beside it."""
        right = float(self.right)
        parsed, doubtful = float(self.extracted is not None), float(self.doubtful and not self.right)
        return {"score": right, "acc": right, "parsed": parsed, "doubtful": doubtful}
