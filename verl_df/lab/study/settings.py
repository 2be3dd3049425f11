# SPDX-License-Identifier: Apache-2.0
"""A study's file."""

import math
import re
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import yaml
from pydantic import NonNegativeFloat, TypeAdapter, ValidationError

from verl_df.io.validation import Listed, checked, described, nearest

BUDGET_KEY = "df.budget.device_seconds"


@checked
class Budget:
    """As many device-seconds as another arm's run of the same world and seed took, by its ledger.

    Attributes:
        like: that arm.
        plus: what counts beside that run, above all the training of its repair model: device-seconds, or the path of
            a ledger or of its run's folder, as from the root of the repository.
    """

    like: str
    plus: Listed[NonNegativeFloat | str] = ()


@checked
class Arm:
    """One row of a study's tables, or with a sweep several.

    Attributes:
        title: of the row; empty: the arm's name.
        env: variables of the launch script, for instance ALGO.
        overrides: `key=value` for the launch script.
        sweep: by key of the overrides, its values: an arm for each, named `ARM_VALUE`, or for each combination.
        budget: the run ends when it has had so much device time; give it steps enough. None: its steps end it.
    """

    title: str = ""
    env: dict[str, str] = field(default_factory=dict)
    overrides: Listed[str] = ()
    sweep: dict[str, Listed[str | int | float | bool]] = field(default_factory=dict)
    budget: Budget | None = None

    def swept(self, name: str) -> "dict[str, Arm]":
        """The rows by name."""
        if not self.sweep:
            return {name: self}
        for key, given in self.sweep.items():
            if not given:
                raise ValueError(f"arms.{name}.sweep.{key}: give at least one value")
        rows = {}
        for values in product(*self.sweep.values()):
            texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
            named = [f"{key.rpartition('.')[2]} {text}" for key, text in zip(self.sweep, texts, strict=True)]
            set_ = [f"{key}={text}" for key, text in zip(self.sweep, texts, strict=True)]
            rows["_".join([name, *(re.sub(r"[^\w.-]", "-", text) for text in texts)])] = replace(
                self, title=", ".join([self.title or name, *named]), overrides=(*self.overrides, *set_), sweep={}
            )
        return rows


@checked
class World:
    """What the runs of a world have in common; the attributes are an arm's."""

    title: str = ""
    env: dict[str, str] = field(default_factory=dict)
    overrides: Listed[str] = ()


@checked
class Study:
    """Arms that are compared under the same settings, seeds and worlds.

    Attributes:
        title: of the page.
        script: the launch script, as from the root of the repository. It writes to the folder OUT.
        reference: the row that the others are compared with.
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
    worlds: dict[str, World] = field(default_factory=lambda: {"toy": World()})
    env: dict[str, str] = field(default_factory=dict)
    overrides: Listed[str] = ()

    def __post_init__(self) -> None:
        rows, wanted = self.rows, sum(math.prod(map(len, arm.sweep.values())) for arm in self.arms.values())
        if len(rows) < wanted:
            raise ValueError(f"arms: a sweep makes an arm whose name another one has; the names are {', '.join(rows)}")
        if self.reference not in rows:
            raise ValueError(f"reference={self.reference}: no such arm; {nearest(self.reference, rows)}")
        for name, arm in rows.items():
            self._check_budget(name, arm, rows)
        for name, values in (("seeds", self.seeds), ("worlds", self.worlds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}: give at least one, and each once")

    @property
    def rows(self) -> dict[str, Arm]:
        """The arms by name, those of sweeps too."""
        return {name: row for arm, given in self.arms.items() for name, row in given.swept(arm).items()}

    def _check_budget(self, name: str, arm: Arm, rows: dict[str, Arm]) -> None:
        if arm.budget is None:
            return
        like = arm.budget.like
        if like not in rows:
            raise ValueError(f"arms.{name}.budget.like={like}: no such arm; {nearest(like, rows)}")
        if rows[like].budget is not None:
            raise ValueError(f"arms.{name}.budget.like={like}: that arm has a budget itself; name one that has none")
        if any(one.lstrip("+").startswith(f"{BUDGET_KEY}=") for one in (*self.overrides, *arm.overrides)):
            raise ValueError(f"arms.{name}: {BUDGET_KEY} is what `budget` sets; give one of them")


@dataclass(frozen=True)
class Run:
    """One training run of a study.

    Attributes:
        world, arm, seed: which.
        env: variables of the script, OUT left out.
        overrides: all of them, in order, without the budget's.
        budget: of the arm.
    """

    world: str
    arm: str
    seed: int
    env: dict[str, str]
    overrides: tuple[str, ...]
    budget: Budget | None = None

    @property
    def name(self) -> str:
        """Of its folder, below the study's."""
        return f"{self.world}/{self.arm}.{self.seed}"

    @property
    def like(self) -> str | None:
        """Name of the run whose device time it gets; None without a budget."""
        return None if self.budget is None else f"{self.world}/{self.budget.like}.{self.seed}"


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
    """All runs, seed by seed, so that a study that was stopped has about as many seeds of every arm.

    Those with a budget come after those whose device time they get.
    """
    rows = sorted(study.rows.items(), key=lambda row: row[1].budget is not None)
    return [
        Run(
            world,
            name,
            seed,
            {**study.env, **study.worlds[world].env, **arm.env},
            (*study.overrides, *study.worlds[world].overrides, *arm.overrides, f"data.seed={seed}"),
            arm.budget,
        )
        for seed in study.seeds
        for world in study.worlds
        for name, arm in rows
    ]
