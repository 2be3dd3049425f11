# SPDX-License-Identifier: Apache-2.0
"""The paper's benchmarks, in the order of its tables."""

from collections.abc import Iterable

TITLES = {
    "mathvista": "MathVista",
    "mmstar": "MMStar",
    "mmmu": "MMMU",
    "mathverse": "MathVerse",
    "mathvision": "MathVision",
    "ai2d": "AI2D",
}
"""Title of each data set of table 1."""

BREAKDOWN = {
    "mathvista": ("task", "answer_type"),
    "mmstar": ("category",),
    "mmmu": ("domain", "question_type"),
    "mathverse": ("problem_version", "question_type"),
    "mathvision": ("level", "subject"),
    "ai2d": (),
}
"""Keys of extra_info by which each data source's accuracy is shown apart, as its authors do."""


def columns(names: Iterable[str]) -> list[str]:
    """The paper's six, present or not, and then the other names in their order."""
    return [*TITLES, *(name for name in dict.fromkeys(names) if name not in TITLES)]


def title(name: str) -> str:
    """Title of a data set."""
    return TITLES.get(name, name)
