# SPDX-License-Identifier: Apache-2.0
"""Blocks of settings with anything in them: settings, or one line that says what is wrong."""

import dataclasses
import random
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from verl_df.settings.config import ConfigError, DFConfig, load_block
from verl_df.settings.repair_config import RepairTrainingConfig

BLOCKS = 3000
RATES = (0.003, 0.1)  # one key of the whole block, or many: however many keys a block has, some blocks are read
JUNK: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    2**63,
    10**400,
    0.5,
    -0.0,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "x",
    "\ud83d",
    "\0",
]
JUNK += [
    "off",
    "[",
    "${x}",
    "${oc.env:NONE}",
    "???",
    [],
    [1],
    {},
    {"a": 1},
    {1: 2},
    {None: 1},
    [[]] * 3,
    b"x",
    "9" * 5000,
    (1,),
]


def block(rng: random.Random, value: Any, junk: float) -> Any:
    """A block as a dataclass has it by default, some keys lost, others, at the rate `junk`, changed or misspelt."""
    if not dataclasses.is_dataclass(value):
        return value
    content = {one.name: block(rng, getattr(value, one.name), junk) for one in dataclasses.fields(value)}
    for name in list(content):
        if rng.random() < junk:
            content[name] = rng.choice(JUNK)
        elif rng.random() < 0.3:
            del content[name]
        elif rng.random() < junk / 5:
            content[name[::-1]] = content.pop(name)
    return content


@pytest.mark.parametrize("kind", [DFConfig, RepairTrainingConfig])
def test_a_block_is_read_or_refused_in_a_line(kind: type) -> None:
    rng, read, whole = random.Random(kind.__name__), 0, kind()
    for _ in range(BLOCKS):
        content = block(rng, whole, rng.choice(RATES))
        if rng.random() < 0.5:
            try:
                content = OmegaConf.create(content)
            except (OmegaConfBaseException, ValueError, TypeError):
                continue  # no YAML could hold it
        try:
            assert isinstance(load_block(kind, content, "df"), kind)
            read += 1
        except ConfigError as error:
            message = str(error)
            assert message and "\n" not in message and len(message) < 2000
    assert 10 < read < BLOCKS - 50
