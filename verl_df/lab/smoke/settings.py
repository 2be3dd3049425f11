# SPDX-License-Identifier: Apache-2.0
"""Where the parts find what they share: models and rows, made when the first part asks for them."""

from dataclasses import dataclass
from pathlib import Path

from verl_df.lab.tiny import save_tiny_model
from verl_df.lab.tiny.data import write_rows

ROWS = 32


@dataclass(frozen=True)
class Shared:
    """folder: of models, rows and results. gpu: large models in bfloat16, or tiny ones in float32."""

    folder: Path
    gpu: bool

    def model(self, name: str, seed: int, architecture: str = "qwen2_5_vl") -> Path:
        """Folder of a model with random weights; the seed makes policy and repair model differ, under one tokenizer."""
        large = self.gpu and architecture == "qwen2_5_vl"
        path = self.folder / "models" / f"{architecture}_{name}_{'large' if large else 'tiny'}"
        if not (path / "config.json").exists():
            save_tiny_model(architecture, path, large=large, weights_seed=seed)
        return path

    @property
    def rows(self) -> Path:
        """A parquet file of prompts with pictures."""
        path = self.folder / "models" / "rl.parquet"
        if not path.exists():
            write_rows("rl", ROWS, path)
        return path
