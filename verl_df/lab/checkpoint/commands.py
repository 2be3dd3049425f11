# SPDX-License-Identifier: Apache-2.0
"""The commands of `verl-df checkpoint`; each prints its result."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from verl_df.lab.checkpoint.answer import ValidationSettings, solve
from verl_df.lab.checkpoint.locate import find_actor, step_of
from verl_df.lab.checkpoint.merge import merge_checkpoint
from verl_df.lab.checkpoint.validation import (
    Disagreement,
    accuracies,
    differing_sources,
    disagreements,
    trainer_accuracy,
)
from verl_df.lab.command_line import engine_arguments

_SHOWN = 5


class Differs(ValueError):
    """The merged model is not the trained one."""


def merge(arguments: argparse.Namespace) -> None:
    """Merge."""
    target = merge_checkpoint(arguments.checkpoint, arguments.out, arguments.dtype)
    print(f"{target}: merged from {find_actor(arguments.checkpoint)}")


def check(arguments: argparse.Namespace) -> None:
    """Compare log-probabilities. Raises: Differs above the tolerance."""
    from verl_df.lab.checkpoint.check import check_merged  # seconds of imports

    if not arguments.tolerance > 0:
        raise ValueError(f"--tolerance is {arguments.tolerance}: must be above 0")
    asked = (arguments.data, arguments.rows, arguments.max_tokens, arguments.tolerance)
    outcome = check_merged(arguments.checkpoint, arguments.merged, *asked)
    print(f"log-probabilities of the trained actor and of the merged model ({outcome.dtype}), absolute difference:")
    kinds = {"actor as trained": outcome.trained, f"actor rounded to {outcome.dtype}": outcome.rounded}
    for kind, found in kinds.items():
        if found is not None:
            print(
                f"  {kind}: at most {found.maximum:.2g} (response {found.row}, token {found.token}), "
                f"mean {found.mean:.2g}, over {found.tokens} tokens of {found.rows} responses"
            )
    if outcome.judged.maximum > arguments.tolerance:
        raise Differs(f"{arguments.merged} is not the trained actor (tolerance {arguments.tolerance:.2g})")
    print(f"within the tolerance of {arguments.tolerance:.2g}")


def validate(arguments: argparse.Namespace) -> None:
    """Repeat the trainer's validation. Raises: Differs unless every accuracy and every known result is the same."""
    step = arguments.step if arguments.step is not None else step_of(find_actor(arguments.checkpoint))
    if step is None:
        raise ValueError(f"{arguments.checkpoint}: not in a folder global_step_N; give its step with --step")
    trainer = trainer_accuracy(arguments.metrics, step)
    dump = arguments.generations / f"{step}.jsonl" if arguments.generations else None
    if dump and not dump.is_file():
        raise FileNotFoundError(f"{dump}: no such file; verl writes it with trainer.validation_data_dir")
    given = {
        field.name: getattr(arguments, field.name) for field in fields(ValidationSettings) if field.name in arguments
    }
    settings = ValidationSettings(**given | {"engine": engine_arguments(given.get("engine", []))})
    solved = solve(arguments.merged, settings)
    ours, gaps = accuracies(solved), differing_sources(solved, trainer)
    differing = disagreements(solved, dump) if dump else []
    lines = [
        f"{source}: {ours[source]:.6f} in vLLM from {arguments.merged}, {trainer[source]:.6f} in the trainer's "
        f"validation at step {step}"
        for source in sorted(ours)
    ]
    if gaps or differing:
        print(*lines, *map(_shown, differing[:_SHOWN]), sep="\n")
        raise Differs(_summary(gaps, differing, dump))
    print(f"equal on {len(solved)} problems", *lines, sep="\n")


def _summary(gaps: dict[str, float], differing: Sequence[Disagreement], dump: Path | None) -> str:
    totals = ", ".join(f"{source} by {gap:+.4g} problems" for source, gap in sorted(gaps.items())) or "by none in total"
    which = "unknown without --generations (trainer.validation_data_dir)"
    if dump:
        which = f"{len(differing)}, rows {', '.join(str(one.ours.row) for one in differing)}"
    return f"not the trainer's validation: {totals}; problems with another result: {which}"


def _shown(one: Disagreement) -> str:
    return (
        f"row {one.ours.row}: {one.ours.right:g} here, {one.their_right:g} there\n  here:  {one.ours.output!r}\n"
        f"  there: {one.their_output!r}"
    )


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {"merge": merge, "check": check, "validate": validate}
