# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/audit_weights.md are those that the repository keeps."""

import json

from tests import ROOT


def test_the_pages_figures_are_the_kept_ones() -> None:
    page = (ROOT / "docs/audit_weights.md").read_text()
    kept = {step: (ROOT / f"examples/toy/audit/step_{step}.jsonl").read_text() for step in (0, 10, 20)}
    lines = {step: [json.loads(line) for line in text.splitlines()] for step, text in kept.items()}
    for at_steps in zip(*lines.values(), strict=True):
        (source,) = {line["source"] for line in at_steps}
        figures = [_cell(line[name]) for name in ("auc", "share") for line in at_steps]
        assert f"| `{source}` | {' | '.join(figures)} |" in page
        first = [_cell(at_steps[0][name]) for name in ("auc", "precision", "recall", "share", "mass")]
        assert f"| `{source}` | {' | '.join(first)} | " in page


def _cell(figure: dict[str, float]) -> str:
    estimate, low, high = (f"{figure[name]:.2f}" for name in ("estimate", "low", "high"))
    return estimate if low == high else f"{estimate} [{low}, {high}]"
