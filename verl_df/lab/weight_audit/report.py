# SPDX-License-Identifier: Apache-2.0
"""The audit as JSON lines and as a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verl_df.io.files import write_text
from verl_df.lab.markdown import markdown_table
from verl_df.lab.weight_audit.batch import Audited
from verl_df.lab.weight_audit.figures import Average, agreement, averages
from verl_df.lab.weight_audit.sources import ByKey, Source

_COLUMNS = {
    "auc": "AUC",
    "precision": "precision at e",
    "recall": "recall at e",
    "share": "weight on wrong tokens",
    "lift": "lift",
    "mass": "mass",
    "rank_correlation": "rank correlation with m",
}
_ALONE = {"skip": " with a right response too", "annotated_answer": ", with a right response or without"}
_NOTES = """\
Means over responses, with 95% intervals by bootstrap over prompts; a response in which a figure is not defined is left
out of its mean. AUC: chance that a wrong token weighs more than a right one. Precision and recall are of the e heaviest
tokens, e being how many are wrong; tokens without weight are not chosen. Lift: weight on wrong tokens over their share
of the tokens. Mass: mean weight, which acts like a learning rate. m: the mask of the repair. Seconds: besides the pass
of π_old that training makes anyway; for `df` sampling, judging and aligning repairs, for `vppo`, `pgpo` and `tor` the
pass without the picture, for `rlsd` the one that shows a right response.

Low and high probability, entropy, `top_entropy`, `vppo`, `pgpo` and `tor` do not claim to find wrong tokens. `fipo` is
absent: its weights exist only after the first optimiser step of a batch. A response without a right repair keeps
weights of 1, as in training. `rlsd` is shown a right response, as `sibling` is.
"""


@dataclass(frozen=True)
class Line:
    """A line of `audit.jsonl`: a source with its figures, by name."""

    source: str
    what: str
    seconds: float | None
    right_mass: float | None
    figures: dict[str, Average | None]

    @classmethod
    def of(cls, source: Source, rows: Sequence[Audited], masks: ByKey, seed: int) -> "Line":
        """Compare a source with the truth."""
        found = [agreement(source.weights[row.key], row.wrong, masks.get(row.key)) for row in rows]
        figures = averages(found, [row.uid for row in rows], seed=seed)
        return cls(source.name, source.what, source.seconds, source.right_mass, figures)


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write JSON lines; a figure that is not defined is null."""
    write_text(path, "".join(json.dumps(_flat(line), allow_nan=False) + "\n" for line in lines))


def _flat(line: Line) -> dict[str, Any]:
    figures = {
        name: None if one is None else {**asdict(one.interval), "responses": one.responses}
        for name, one in line.figures.items()
    }
    return {
        "source": line.source,
        "what": line.what,
        "seconds": line.seconds,
        "right_mass": line.right_mass,
        **figures,
    }


def write_page(lines: Sequence[Line], facts: Mapping[str, Any]) -> str:
    """The page, in Markdown."""
    header = ["weights", "", *_COLUMNS.values(), "mass on right responses", "seconds"]
    table = [
        [
            f"`{line.source}`",
            line.what,
            *(_average(line.figures[name]) for name in _COLUMNS),
            "" if line.right_mass is None else f"{line.right_mass:.2f}",
            "" if line.seconds is None else f"{line.seconds:.2f}",
        ]
        for line in lines
    ]
    return f"# Audit of token weights\n\n{_batch(facts)}\n\n{markdown_table(header, table)}\n{_NOTES}"


def _batch(facts: Mapping[str, Any]) -> str:
    told = (
        f"{facts['responses']} responses, {facts['right']} right. Audited: {facts['audited']} wrong ones to "
        f"{facts['prompts']} prompts{_ALONE[facts['on_no_correct']]}, of {facts['tokens']:.1f} tokens, "
        f"{facts['wrong_tokens']:.1f} of them wrong. A pass of the policy: {facts['pass_seconds']:.1f} s."
    )
    if facts["repaired"] is None:
        return told
    return f"{told} The repair model repaired {facts['repaired']:.1%} of the audited."


def _average(one: Average | None) -> str:
    if one is None:
        return ""
    found = one.interval
    if found.low == found.high:
        return f"{found.estimate:.2f}"
    return f"{found.estimate:.2f} [{found.low:.2f}, {found.high:.2f}]"
