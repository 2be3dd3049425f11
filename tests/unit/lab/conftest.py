# SPDX-License-Identifier: Apache-2.0
"""What the laboratory's tests share."""

from pathlib import Path

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


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as far as a processor is read from it."""
    from verl_df.lab.toy.tokenizer import save_processor

    folder = tmp_path_factory.mktemp("policy")
    save_processor(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def processor(policy_folder: Path):
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(policy_folder)


@pytest.fixture(scope="session")
def tokenizer(processor):
    return processor.tokenizer
