# SPDX-License-Identifier: Apache-2.0
"""Counts of a whole set."""

from collections.abc import Iterable, Mapping

from verl_df.lab.repair_data.choose import PromptCount


def summarise(counts: Iterable[PromptCount]) -> dict[str, float | None]:
    """Add up the counts of the prompts, of all runs of a set together: the content of `summary.json`.

    Returns:
        "prompts": sampled; "rollouts": their responses = "right" + "wrong" + "truncated". Wrong ones:
        "duplicate", "no_reference", "dropped_by_text" and "kept", which add up to them. "prompts_dropped_by_text":
        prompts that the policy solves from text alone, of the "text_filtered" ones that had something to drop.
        "text_right_share": mean share of right responses to x_∅ over those; None without any.
    """
    counts = list(counts)
    filtered = [count for count in counts if count.text_samples]
    total = {
        name: sum(getattr(count, name) for count in counts)
        for name in ("right", "wrong", "truncated", "duplicate", "no_reference", "dropped_by_text", "kept")
    }
    shares = [count.text_right / count.text_samples for count in filtered]
    return {
        "prompts": len(counts),
        "rollouts": total["right"] + total["wrong"] + total["truncated"],
        **total,
        "prompts_with_samples": sum(count.kept > 0 for count in counts),
        "text_filtered": len(filtered),
        "prompts_dropped_by_text": sum(count.dropped_by_text > 0 for count in counts),
        "text_right_share": round(sum(shares) / len(shares), 4) if shares else None,
    }


def summary_lines(summary: Mapping[str, float | None]) -> list[str]:
    """The counts as text for a terminal."""
    return [f"{name.replace('_', ' '):24} {value}" for name, value in summary.items()]
