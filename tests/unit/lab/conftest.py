# SPDX-License-Identifier: Apache-2.0
"""What the laboratory's tests share."""

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of each chart that is saved during the test."""
    axes: list[Axes] = []
    save = Figure.savefig

    def savefig(self: Figure, *arguments: object, **options: object) -> None:
        axes.extend(self.axes)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return axes
