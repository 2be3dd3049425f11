# SPDX-License-Identifier: Apache-2.0
"""Tiny models and data in the place of those that are not on this machine."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from verl_df.lab.dry_run.models import ModelSizes
from verl_df.lab.tiny import save_tiny_model
from verl_df.lab.tiny.data import write_rows
from verl_df.settings.checks import as_list

_ROWS = 8


def replace_models(config: DictConfig, keys: tuple[str, ...], sizes: ModelSizes, folder: Path) -> list[str]:
    """Point the keys whose model is no folder here to one tiny model of the architecture of `sizes`.

    The repair model and the critic have the policy's architecture, so one stands in for all.

    Returns:
        a line for each key changed.
    """
    tiny, lines = folder / sizes.architecture, []
    for key in keys:
        path = OmegaConf.select(config, key)
        if not path or Path(path).is_dir():
            continue
        if not tiny.exists():
            save_tiny_model(sizes.architecture, tiny)
        OmegaConf.update(config, key, str(tiny))
        lines.append(f"{key}: {path} -> a tiny {sizes.architecture}")
    return lines


def replace_data(config: DictConfig, kind: str, folder: Path) -> list[str]:
    """Point the data files that are not here to one file of toy rows.

    Args:
        config: with `data.train_files` and `data.val_files`; changed in place.
        kind: form of the rows, see `verl_df.lab.tiny.data`.
        folder: for the file.

    Returns:
        a line for each key changed.
    """
    lines = []
    for key in ("train_files", "val_files"):
        files = as_list(config.data[key]) if config.data[key] is not None else []
        missing = [file for file in files if not Path(file).expanduser().is_file()]
        if not missing:
            continue
        path = folder / f"{kind}.parquet"
        if not path.exists():
            write_rows(kind, _ROWS, path)
        with open_dict(config):
            config.data[key] = [str(path) if file in missing else file for file in files]
        lines.append(f"data.{key}: {', '.join(missing)} -> {_ROWS} rows of the toy")
    return lines
