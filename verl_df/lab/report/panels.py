# SPDX-License-Identifier: Apache-2.0
"""Which metrics the report draws, in which panel, and what the reader should know about each."""

from collections.abc import Iterable
from dataclasses import dataclass

# Palette indices with a meaning that holds over the whole page, pair view included.
REPAIR_COLOUR, ERROR_COLOUR = 0, 1

ACCURACY_PATTERN = "val-core/*/acc/mean@*"
REPAIRED_PREFIX, POLICY_PREFIX = "df/repaired/", "df/policy/"


@dataclass(frozen=True)
class Line:
    """A metric of a panel: an exact name or a glob. A glob's curves are labelled by the part that the ``*`` matched."""

    pattern: str
    label: str
    colour: int


@dataclass(frozen=True)
class Panel:
    """A chart: its title, what it shows, its metrics, and whether its axis starts at zero."""

    title: str
    note: str
    lines: tuple[Line, ...]
    from_zero: bool = True


@dataclass(frozen=True)
class Section:
    title: str
    panels: tuple[Panel, ...]


# The others are small; a chart has eight colours.
_SHOWN = ("total", "actor", "rollout_engine", "repair_engine", "trainer", "agent_loop", "reward", "data_queue")

LEARNING = Section(
    "Learning",
    (
        Panel(
            "Held-out accuracy",
            "Mean accuracy over the validation set.",
            (Line(ACCURACY_PATTERN, "*", 0),),
            from_zero=False,
        ),
        Panel(
            "Error rate of sampled rollouts",
            "Share of rollouts below the reward threshold, before any leaves the group.",
            (Line("df/error_rate", "error rate", ERROR_COLOUR),),
        ),
        Panel(
            "Training reward",
            "Mean score of the rows trained on. Where errors and repairs form the group, it is the share of repairs, "
            "not the policy's accuracy.",
            (Line("critic/score/mean", "score", 0),),
        ),
        Panel(
            "Response length",
            "Tokens per trained response.",
            (Line("response_length/mean", "mean", 0),),
            from_zero=False,
        ),
    ),
)

FEEDBACK = Section(
    "Difference feedback",
    (
        Panel(
            "Repairs",
            "Share of erroneous rollouts that got a right repair, and share of all repair samples that were right.",
            (
                Line("df/repair_feasible_rate", "rollouts repaired", REPAIR_COLOUR),
                Line("df/candidate_correct_rate", "repair samples right", 2),
            ),
        ),
        Panel(
            "Edit ratio",
            "Token edits per token of the erroneous response, chosen repairs only.",
            (Line("df/edit_ratio/mean", "mean", 0),),
        ),
        Panel(
            "Mask density",
            "Share of response tokens marked by the difference mask, on each side.",
            (
                Line("df/mask_density/error", "erroneous response", ERROR_COLOUR),
                Line("df/mask_density/repair", "repaired response", REPAIR_COLOUR),
            ),
        ),
        Panel(
            "Mask against truth",
            "Marked tokens compared with the tokens that are truly wrong.",
            (
                Line("df/mask_truth/precision", "precision", 0),
                Line("df/mask_truth/recall", "recall", 1),
                Line("df/mask_truth/f1", "F1", 2),
            ),
        ),
        Panel(
            "Skipped groups",
            "Prompts that give no error/repair group.",
            (Line("df/skipped/*", "*", 0),),
        ),
        Panel(
            "Rejected repair samples",
            "By reason.",
            (Line("df/rejected/*", "*", 0),),
        ),
        Panel(
            "Special cases",
            "Wrong rollouts without a right repair, rollouts cut by the length limit, prompts left with one row and so "
            "not trained on, rows of pairs without a gated token.",
            (
                Line("df/infeasible", "no right repair", ERROR_COLOUR),
                Line("df/truncated", "cut", 2),
                Line("df/groups_of_one", "groups of one", 3),
                Line("df/empty_masks", "empty masks", 0),
            ),
        ),
        Panel(
            "Rows trained on",
            "Trajectories of the optimised groups per step.",
            (
                Line("df/rows/error", "erroneous", ERROR_COLOUR),
                Line("df/rows/repair", "repaired", REPAIR_COLOUR),
            ),
        ),
    ),
)

OPTIMISATION = Section(
    "Optimisation",
    (
        Panel("Entropy", "Of the policy over the trained tokens.", (Line("actor/entropy", "entropy", 0),)),
        Panel(
            "KL",
            "Against the policy that sampled the rollouts, and the KL loss where it is on.",
            (
                Line("actor/ppo_kl", "to the sampling policy", 0),
                Line("actor/kl_loss", "loss to the reference model", 3),
            ),
        ),
        Panel("Gradient norm", "Before clipping.", (Line("actor/grad_norm", "norm", 0),)),
        Panel("Clipped tokens", "Share whose ratio was clipped.", (Line("actor/pg_clipfrac", "clipped", 0),)),
    ),
)


MEMORY = Section(
    "Memory",
    (
        Panel(
            "Host memory, GiB",
            "Peak of resident memory in a step, by what processes are for; pages that processes share count in each.",
            tuple(Line(f"df/memory/{kind}", kind.replace("_", " "), colour) for colour, kind in enumerate(_SHOWN)),
        ),
        Panel(
            "Device memory, GiB",
            "Peak allocated by torch in a step, of the process with the largest.",
            (Line("df/memory/device/actor", "actor", 0), Line("df/memory/device/critic", "critic", 3)),
        ),
    ),
)


# What is known of the metrics that come for both kinds of rows; others are shown under their own name.
ROW_METRICS = {
    "ratio": ("Ratio", "Updated policy over the policy before the update, mean over tokens."),
    "ppo_kl": ("KL to the sampling policy", "Minus the mean log ratio."),
    "clip_fraction": ("Clipped tokens", "Share of tokens whose ratio left the clip range."),
    "entropy": ("Entropy", "Of the policy before the update, mean over tokens."),
    "old_log_prob": (
        "Log-probability",
        "Under the policy before the update, given the original prompt; mean over tokens.",
    ),
    "gated_log_prob": ("Log-probability of gated tokens", "The same, only where the gate is above zero."),
    "ref_kl": ("KL to the reference model", "Mean log ratio to the reference model, before the update."),
    "picture_gain": ("What the picture says", "Log-probability of a token minus that with the picture hidden, mean."),
}


def run_sections(names: Iterable[str]) -> tuple[Section, ...]:
    """Everything that is drawn of a run. names: of the metrics that it logged."""
    return LEARNING, FEEDBACK, repaired_rows_section(names), OPTIMISATION, MEMORY


def repaired_rows_section(names: Iterable[str]) -> Section:
    """One panel per metric that is logged for repaired rows, for the policy's own rows, or for both.

    Repairs were sampled by another model than the policy, so their ratio, KL and entropy are the first to go wrong.
    """
    prefixes = (REPAIRED_PREFIX, POLICY_PREFIX)
    logged = {name.removeprefix(prefix) for name in names for prefix in prefixes if name.startswith(prefix)}
    known = [suffix for suffix in ROW_METRICS if suffix in logged]
    panels = tuple(_row_panel(suffix) for suffix in (*known, *sorted(logged - ROW_METRICS.keys())))
    return Section("Repaired rows beside the rest", panels)


def _row_panel(suffix: str) -> Panel:
    title, note = ROW_METRICS.get(suffix, (suffix.replace("_", " ").replace("/", ", "), ""))
    lines = (
        Line(REPAIRED_PREFIX + suffix, "repaired rows", REPAIR_COLOUR),
        Line(POLICY_PREFIX + suffix, "the policy's own rows", ERROR_COLOUR),
    )
    return Panel(title, note, lines, from_zero=False)
