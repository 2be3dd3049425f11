# SPDX-License-Identifier: Apache-2.0
"""A study's file."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from verl_df.io.validation import Listed, checked, described, nearest


@checked
class Arm:
    """One row of a study's tables.

    Attributes:
        title: of the row; empty: the arm's name.
        env: variables of the launch script, for instance ALGO.
        overrides: `key=value` for the launch script.
    """

    title: str = ""
    env: dict[str, str] = field(default_factory=dict)
    overrides: Listed[str] = ()


@checked
class Study:
    """Arms that are compared under the same settings, seeds and worlds.

    Attributes:
        title: of the page.
        script: the launch script, as from the root of the repository. It writes to the folder OUT.
        reference: the arm that the others are compared with.
        arms: by name.
        worlds: by name, each with what it changes; it comes before the arm's.
        seeds: of training, `data.seed`.
        env: variables of the script, for all arms.
        overrides: for all arms, before those of the world and the arm.
    """

    title: str
    script: str
    reference: str
    arms: dict[str, Arm]
    seeds: Listed[int]
    worlds: dict[str, Arm] = field(default_factory=lambda: {"toy": Arm()})
    env: dict[str, str] = field(default_factory=dict)
    overrides: Listed[str] = ()

    def __post_init__(self) -> None:
        if self.reference not in self.arms:
            raise ValueError(f"reference={self.reference}: no such arm; {nearest(self.reference, list(self.arms))}")
        for name, values in (("seeds", self.seeds), ("worlds", self.worlds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}: give at least one, and each once")


@dataclass(frozen=True)
class Run:
    """One training run of a study.

    Attributes:
        world, arm, seed: which.
        env: variables of the script, OUT left out.
        overrides: all of them, in order.
    """

    world: str
    arm: str
    seed: int
    env: dict[str, str]
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its folder, below the study's."""
        return f"{self.world}/{self.arm}.{self.seed}"


def read_study(path: Path) -> Study:
    """Read a study's file.

    Raises:
        ValueError: not YAML, an unknown key, a value of another kind; the message names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(Study).validate_python(content)
    except ValidationError as error:
        raise ValueError(f"{path}: {described(error, Study)}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error


def runs_of(study: Study) -> list[Run]:
    """All runs, seed by seed, so that a study that was stopped has about as many seeds of every arm."""
    return [
        Run(
            world,
            arm,
            seed,
            {**study.env, **study.worlds[world].env, **study.arms[arm].env},
            (*study.overrides, *study.worlds[world].overrides, *study.arms[arm].overrides, f"data.seed={seed}"),
        )
        for seed in study.seeds
        for world in study.worlds
        for arm in study.arms
    ]
