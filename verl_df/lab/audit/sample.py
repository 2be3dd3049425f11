# SPDX-License-Identifier: Apache-2.0
"""Draws the audits that people judge: some that the auditor flagged, some that it did not, in random order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verl_df.judges.audit_log import AuditRecord
from verl_df.lab.audit.labels import FLAGGED, STRATA, UNFLAGGED, Stratum, parsed, stratum_of


@dataclass(frozen=True)
class Item:
    """One audit to judge; stratum and weight as in `Label`."""

    record: AuditRecord
    stratum: Stratum
    weight: float


def draw_items(
    records: Sequence[AuditRecord], *, size: int | None, flagged_share: float | None, seed: int
) -> list[Item]:
    """Draw from the audits with a verdict, without replacement.

    Flagged repairs are rare, and a plain sample would hold few of them. The order is random, so that stopping early
    leaves a smaller sample of the same kind.

    Args:
        records: all audits of a log.
        size: how many; None, or more than there are: all of them.
        flagged_share: share of flagged ones among them; where a stratum has too few, the other fills up. None: as in
            the log.
        seed: of the drawing; the same log and seed give the same items.

    Raises:
        ValueError: no audit with a verdict, a size below 1, or a share outside [0, 1].
    """
    known = parsed(records)
    if not known:
        raise ValueError("no audit came to a verdict, so there is nothing to label")
    if size is not None and size < 1:
        raise ValueError(f"the sample's size is {size}: at least 1")
    if flagged_share is not None and not 0 <= flagged_share <= 1:
        raise ValueError(f"the share of flagged audits is {flagged_share}: must lie in [0, 1]")
    strata = {name: [record for record in known if stratum_of(record) == name] for name in STRATA}
    sizes = _sizes({name: len(members) for name, members in strata.items()}, size or len(known), flagged_share)
    rng = np.random.default_rng(seed)
    items = []
    for name, members in strata.items():
        for index in rng.permutation(len(members))[: sizes[name]]:
            items.append(Item(members[index], name, len(members) / sizes[name]))
    return [items[index] for index in rng.permutation(len(items))]


def _sizes(available: dict[str, int], size: int, flagged_share: float | None) -> dict[str, int]:
    total = sum(available.values())
    size = min(size, total)
    share = available[FLAGGED] / total if flagged_share is None else flagged_share
    flagged = min(round(size * share), available[FLAGGED])
    flagged = max(flagged, size - available[UNFLAGGED])
    return {FLAGGED: flagged, UNFLAGGED: size - flagged}
