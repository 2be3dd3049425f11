# SPDX-License-Identifier: Apache-2.0
"""Intervals and paired differences as every evaluation computes and shows them."""

from collections.abc import Mapping, Sequence

from verl_df.lab.statistics import Interval, PairedDifference, bootstrap_interval, paired_bootstrap

LEVEL, SEED = 0.95, 0


def over_replicates(values: Sequence[float]) -> Interval | None:
    """Bootstrap over the values of replicates (seeds, runs); None for a single one."""
    return bootstrap_interval(values, seed=SEED, level=LEVEL) if len(values) > 1 else None


def paired_by_key(
    ours: Mapping[str, float], theirs: Mapping[str, float], clusters: Mapping[str, str] | None = None
) -> PairedDifference | None:
    """ours - theirs over the keys that both have; None without one. clusters: of each key, resampled together."""
    common = [key for key in ours if key in theirs]
    if not common:
        return None
    return paired_bootstrap(
        [ours[key] for key in common],
        [theirs[key] for key in common],
        seed=SEED,
        level=LEVEL,
        clusters=None if clusters is None else [clusters[key] for key in common],
    )


def paired_replicates(ours: Sequence[float], theirs: Sequence[float]) -> PairedDifference | None:
    """ours - theirs, paired in their order; None for fewer than two, or another number of them."""
    if len(ours) != len(theirs) or len(ours) < 2:
        return None
    return paired_bootstrap(ours, theirs, seed=SEED, level=LEVEL)


def format_value(value: float, *, ratio: bool = False) -> str:
    """A share as a percentage; an edit ratio with three decimals."""
    return f"{value:.3f}" if ratio else f"{100 * value:.1f}%"


def format_interval(interval: Interval | None, *, ratio: bool = False) -> str:
    """Estimate and bounds, a dash for None."""
    if interval is None:
        return "–"
    bounds = ", ".join(format_value(bound, ratio=ratio).rstrip("%") for bound in (interval.low, interval.high))
    return f"{format_value(interval.estimate, ratio=ratio)} [{bounds}]"


def format_difference(paired: PairedDifference | None) -> list[str]:
    """A difference of shares in percentage points with its bounds, and its p-value; dashes for None."""
    if paired is None:
        return ["–", "–"]
    estimate, low, high = (f"{100 * value:+.1f}" for value in (paired.difference, paired.low, paired.high))
    return [f"{estimate} [{low}, {high}]", f"{paired.p_value:.4f}"]
