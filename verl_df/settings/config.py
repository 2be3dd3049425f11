# SPDX-License-Identifier: Apache-2.0
"""The `df:` block: every key, its type, its default and what it means.

`scripts/docs_tables.py` writes the keys into `recipe/df/config/df_trainer.yaml`, so that Hydra can override them, and
into the table of `recipe/df/README.md`. "Our reading" marks a place where the paper is silent; the reading is the
default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from verl_df.judges.llm_judge import JudgeConfig
from verl_df.method.alignment import BACKENDS, METHODS
from verl_df.method.checks import did_you_mean
from verl_df.method.gates import SEPARATORS, GateConfig
from verl_df.method.group import GROUP_MODES, ON_INFEASIBLE, ON_NO_CORRECT

# Config groups of `recipe/df/config`: a folder of files each, one of which is chosen with GROUP=NAME.
CONFIG_GROUPS = ("objective", "preset")
# What makes Hydra look for them elsewhere too.
_OTHER_FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp", "hydra.searchpath")
# The repair model of both stages with every component (paper, table 2, last row).
FULL = "full"


class ConfigError(ValueError):
    """A setting that is wrong, with where it is and what to write instead."""


@dataclass(frozen=True)
class RepairConfig:
    """The repair model p_phi and how it is sampled (Eq. 5-7).

    Attributes:
        model_path: Hugging Face folder or hub name of the repair model; same tokenizer as the policy's.
        models_dir: instead of `model_path`, a folder with one repair model per variant (tables 2 and 3 compare policies
            whose repair models were trained differently).
        variant: the folder of `models_dir` to use: `full`, `sft`, `no_edit_penalty`, `no_c1`, `lambda_0.2`, ...
        n: independent repair samples per wrong rollout (Eq. 5; paper: 2).
        temperature: sampling temperature of the repairs. Our reading: the rollout's, 1.0 here as in verl.
        top_p: nucleus of the repairs.
        prompt_template: file with {question}, {response}, {reference}; null: the packaged `repair.txt`.
        max_prompt_length: tokens of a repair prompt, image tokens included; null: prompt + two responses + 256.
        repair_truncated: also repair rollouts cut by the length limit (they have no end token).
        timeout_s: seconds that the repairs of one batch may take before the run fails.
        rollout: keys of `actor_rollout_ref.rollout` to set differently for the repair engine
            (for example gpu_memory_utilization, tensor_model_parallel_size).
    """

    model_path: str | None = None
    models_dir: str | None = None
    variant: str = FULL
    n: int = 2
    temperature: float = 1.0
    top_p: float = 1.0
    prompt_template: str | None = None
    max_prompt_length: int | None = None
    repair_truncated: bool = True
    timeout_s: float = 600.0
    rollout: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str | None:
        """The repair model to load: `model_path`, or the variant's folder in `models_dir`; None if neither is set."""
        return str(Path(self.models_dir).expanduser() / self.variant) if self.models_dir else self.model_path


@dataclass(frozen=True)
class GroupConfig:
    """How the optimised group G is built (Eq. 11-17).

    Attributes:
        mode: `repair_pairs`: G = wrong rollouts and their repairs, right ones leave (Eq. 16);
            `gate_only`: nothing is added or removed, wrong rollouts are gated (Eq. 26);
            `off`: no repair model, a gate of ones: verl's own objective.
        reward_threshold: tau_r, a rollout with r_task >= tau_r is right (Eq. 12; paper: 1).
        on_no_correct: no right rollout to serve as reference: `skip` the prompt (paper) or use the `annotated_answer`.
        on_infeasible: no right repair: `keep` the wrong rollout with a gate of one (our reading), `drop` it, or `zero`
            its gate.
        reference_seed: seed of the choice of the reference a ~ Unif(G_cor) (Eq. 13).
    """

    mode: str = "repair_pairs"
    reward_threshold: float = 1.0
    on_no_correct: str = "skip"
    on_infeasible: str = "keep"
    reference_seed: int = 0


@dataclass(frozen=True)
class AlignmentConfig:
    """The alignment operator A(y, y-hat) (Eq. 8).

    Attributes:
        method: `levenshtein` (shortest edit path) or `lcs` (ablation).
        backend: `rapidfuzz`, or `python-levenshtein` (an extra under the GPL; only for `levenshtein`).
        step_separator: where steps end, for `gate.level=step`: `blank_line`, `line` or `sentence`; found in the text,
            cut on token ids, nothing is encoded again.
    """

    method: str = "levenshtein"
    backend: str = "rapidfuzz"
    step_separator: str = "line"


@dataclass(frozen=True)
class TruthConfig:
    """Optional ground truth of which tokens are wrong, to score the masks (the toy world has one).

    Attributes:
        path: module of the function, `pkg://package.module` or a file; null: masks are not scored.
        name: the function: (token_ids, extra_info, tokenizer) -> bool [T] or None where the truth is not defined.
    """

    path: str | None = None
    name: str = "error_mask"


@dataclass(frozen=True)
class LogConfig:
    """What a run leaves on disk.

    Attributes:
        dir: folder for `pairs.jsonl` and its images; null: `<trainer.default_local_dir>/df`.
        pairs_per_step: error/repair pairs written per step; 0: none, -1: all.
    """

    dir: str | None = None
    pairs_per_step: int = 16


@dataclass(frozen=True)
class CheckConfig:
    """Checks of the data before Ray starts.

    Attributes:
        images: rows of each file whose images are decoded; -1: all, 0: none.
    """

    images: int = 20000


@dataclass(frozen=True)
class DFConfig:
    """Root of the `df:` block.

    Attributes:
        reward_manager: verl's reward manager that computes r_task (`naive`, `dapo`, ...), or `df_judge`; DF's manager
            wraps it.
        judge: the LLM judge, for `reward_manager: df_judge`.
        mini_batches: `fixed`: as many optimiser steps per batch as without DF, whatever the number of rows (our
            reading); `verl`: verl's mini-batch size, so that more rows mean more optimiser steps.
    """

    reward_manager: str = "naive"
    mini_batches: str = "fixed"
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    repair: RepairConfig = field(default_factory=RepairConfig)
    group: GroupConfig = field(default_factory=GroupConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)
    log: LogConfig = field(default_factory=LogConfig)
    check: CheckConfig = field(default_factory=CheckConfig)


CHOICES: dict[str, tuple[str, ...]] = {
    "df.mini_batches": ("fixed", "verl"),
    "df.group.mode": (*GROUP_MODES, "off"),
    "df.group.on_no_correct": ON_NO_CORRECT,
    "df.group.on_infeasible": ON_INFEASIBLE,
    "df.alignment.method": METHODS,
    "df.alignment.backend": BACKENDS,
    "df.alignment.step_separator": tuple(SEPARATORS),
}


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    return did_you_mean(name, known) or f"known: {', '.join(known)}"


def load_df_config(block: DictConfig | Mapping[str, Any]) -> DFConfig:
    """Turn the `df:` block of a composed config into a `DFConfig`.

    Raises:
        ConfigError: unknown key, wrong type, value outside its choices.
    """
    config = build_block(DFConfig, as_mapping(block), "df")
    _check_values(config)
    return config


def as_mapping(block: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A block of a composed config, or a mapping, as plain containers."""
    return OmegaConf.to_container(block, resolve=True) if isinstance(block, DictConfig) else dict(block)


def check_override_names(arguments: Iterable[str], root: type = DFConfig) -> None:
    """Refuse a command-line override of an unknown key under `df`, before Hydra's own, less helpful error.

    Args:
        arguments: the command line, for example `["df.repair.n=4", "trainer.total_epochs=1"]`.
        root: the dataclass of the block.

    Raises:
        ConfigError: names the nearest right key.
    """
    for argument in arguments:
        key = argument.split("=", 1)[0].lstrip("+~")
        is_override = "=" in argument or argument.startswith("~")
        if is_override and key.split(".")[0] == "df":
            _check_path(key, root)


def check_config_groups(arguments: Iterable[str], folder: Path) -> None:
    """Refuse `objective=` or `preset=` with a name that has no file, before Hydra's own error of many lines.

    Args:
        arguments: the command line. With a search path of its own (`--config-dir`, `hydra.searchpath`) the names are
            left to Hydra.
        folder: the config folder, with a folder of `NAME.yaml` files for each group.

    Raises:
        ConfigError: names the nearest right name.
    """
    arguments = list(arguments)
    if any(argument.startswith(_OTHER_FOLDERS) for argument in arguments):
        return
    for argument in arguments:
        group, separator, value = argument.lstrip("+").partition("=")
        if not separator or group not in CONFIG_GROUPS:
            continue
        for name in value.split(","):  # of a sweep
            _check_group_name(group, name.strip("'\""), folder)


def _check_group_name(group: str, name: str, folder: Path) -> None:
    known = [path.stem for path in (folder / group).glob("*.yaml")]
    if name not in known:
        raise ConfigError(f"{group}={name}: no such {group}; {nearest(name, known)}")


def _check_path(key: str, root: type) -> None:
    node: Any = root
    for depth, part in enumerate(key.split(".")[1:], start=1):
        if not is_dataclass(node):
            return  # inside a free dict (df.repair.rollout): verl knows the keys
        hints = get_type_hints(node)
        if part not in hints:
            where = ".".join(key.split(".")[:depth])
            raise ConfigError(f"unknown key {key!r}: no {part!r} under {where!r}; {nearest(part, hints)}")
        node = hints[part]


def build_block(cls: type, raw: Any, where: str) -> Any:
    """The dataclass `cls` from a block of keys; `where` is its place, for errors. Raises: ConfigError."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: expected a block of keys, got {raw!r}")
    hints = get_type_hints(cls)
    for key in raw:
        if key not in hints:
            raise ConfigError(f"unknown key '{where}.{key}'; {nearest(str(key), hints)}")
    values = {}
    for item in fields(cls):
        if item.name in raw:
            values[item.name] = _convert(hints[item.name], raw[item.name], f"{where}.{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f"missing key '{where}.{item.name}'")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return build_block(kind, value, where)
    if get_origin(kind) is dict:
        kind = dict
    allowed = get_args(kind) or (kind,)
    if value is None and type(None) in allowed:
        return None
    for option in (option for option in allowed if isinstance(option, type)):
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if type(value) is option:
            return value
    if any(isinstance(option, str) for option in allowed) and isinstance(value, str):
        return value  # a Literal: the class itself checks the choice
    names = " or ".join(getattr(option, "__name__", str(option)) for option in allowed)
    raise ConfigError(f"{where}: expected {names}, got {value!r}")


def check_block_choices(config: Any, table: Mapping[str, tuple[str, ...]]) -> None:
    """Raise ConfigError for a value outside its choices; `table`: from a key's path to what it may be."""
    for path, choices in table.items():
        value: Any = config
        for part in path.split(".")[1:]:
            value = getattr(value, part)
        if value not in choices:
            raise ConfigError(f"{path}={value!r}; {nearest(value, choices)}")


def _check_values(config: DFConfig) -> None:
    check_block_choices(config, CHOICES)
    _check_repair_source(config.repair)
    if config.repair.n < 1:
        raise ConfigError(f"df.repair.n={config.repair.n}: at least one repair per wrong rollout")
    if config.repair.temperature < 0:
        raise ConfigError(f"df.repair.temperature={config.repair.temperature}: zero (greedy) or more")
    if config.repair.temperature == 0 and config.repair.n > 1:
        raise ConfigError(
            f"df.repair.n={config.repair.n} greedy repairs would all be the same: set a temperature or n=1"
        )
    if not 0 < config.repair.top_p <= 1:
        raise ConfigError(f"df.repair.top_p={config.repair.top_p}: more than 0, at most 1 (1: the whole vocabulary)")
    if config.repair.timeout_s <= 0:
        raise ConfigError(f"df.repair.timeout_s={config.repair.timeout_s}: seconds, more than 0")
    if config.repair.max_prompt_length is not None and config.repair.max_prompt_length < 1:
        raise ConfigError(f"df.repair.max_prompt_length={config.repair.max_prompt_length}: tokens, or null")
    if not 0 < config.group.reward_threshold <= 1:
        raise ConfigError(f"df.group.reward_threshold={config.group.reward_threshold}: r_task is in [0, 1], use (0, 1]")
    if config.alignment.method == "lcs" and config.alignment.backend == "python-levenshtein":
        raise ConfigError("df.alignment.backend=python-levenshtein has no LCS: use rapidfuzz")


def _check_repair_source(repair: RepairConfig) -> None:
    if repair.model_path and repair.models_dir:
        raise ConfigError(
            f"df.repair.model_path={repair.model_path} and df.repair.models_dir={repair.models_dir}: give one of them, "
            "a repair model or a folder with one per variant"
        )
    if not repair.variant:
        raise ConfigError(f"df.repair.variant is empty: write the name of a folder in df.repair.models_dir, or {FULL}")
    if repair.variant != FULL and not repair.models_dir:
        why = "it is the name of a folder in df.repair.models_dir, which is not set"
        if repair.model_path:
            why = f"the variant would be ignored: df.repair.model_path={repair.model_path} is one model"
        raise ConfigError(
            f"df.repair.variant={repair.variant}: {why}. Give df.repair.models_dir, a folder with one repair model per "
            "variant, and no df.repair.model_path"
        )
