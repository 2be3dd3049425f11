# SPDX-License-Identifier: Apache-2.0
"""The `df:` block: every key, its type, its default and what it means.

`scripts/docs_tables.py` writes the keys into `recipe/df/config/df_trainer.yaml`, so that Hydra can override them, and
into the table of `recipe/df/README.md`. "Our reading" marks a place where the paper is silent; the reading is the
default.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from verl_df.controls.settings import ControlConfig
from verl_df.controls.shaping import ShapingConfig
from verl_df.io.validation import annotation_at, block_of, checked, described, nearest
from verl_df.judges.endpoint import ServerConfig
from verl_df.judges.llm_judge import JudgeConfig
from verl_df.method.alignment import AlignmentConfig
from verl_df.method.gates import GateConfig
from verl_df.method.group import GroupConfig
from verl_df.settings.loss_config import LossConfig
from verl_df.token_weights.durian import DurianConfig
from verl_df.token_weights.settings import WeightConfig

T = TypeVar("T")

# Config groups of `recipe/df/config`: a folder of files each, one of which is chosen with GROUP=NAME.
CONFIG_GROUPS = ("objective", "run", "baseline", "method")
# What makes Hydra look for them elsewhere too.
_OTHER_FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp", "hydra.searchpath")
# The repair model of both stages with every component (paper, table 2, last row).
FULL = "full"
# Keys of earlier versions, with what they are called now.
MOVED = {"df.alignment.step_separator": "df.gate.step_separator"}


class ConfigError(ValueError):
    """A setting that is wrong, with where it is and what to write instead."""


@checked
class DedicatedConfig:
    """Devices of the repair engine's own, for `placement: dedicated`; they are not among the trainer's.

    Attributes:
        nnodes: nodes.
        n_gpus_per_node: GPUs on each of them.
    """

    nnodes: PositiveInt = 1
    n_gpus_per_node: PositiveInt = 1


@checked
class RemoteConfig(ServerConfig):
    """The endpoint that serves the repair model, for `placement: remote`.

    Attributes:
        token_ids: the endpoint returns token ids, of prompt and response, when asked as vLLM's server is
            (`return_token_ids`); each reply is held against the policy's tokenizer. false, for other endpoints: the
            text that comes back is cut into tokens with the policy's tokenizer.
    """

    timeout_s: PositiveFloat = 300.0
    token_ids: bool = True


@checked
class RepairConfig:
    """The repair model p_phi and how it is sampled (Eq. 5-7).

    Attributes:
        model_path: Hugging Face folder or hub name of the repair model; same tokenizer as the policy's.
        models_dir: instead of `model_path`, a folder with one repair model per variant (tables 2 and 3 compare policies
            whose repair models were trained differently).
        variant: the folder of `models_dir` to use: `full`, `sft`, `no_edit_penalty`, `no_c1`, `lambda_0.2`, ...
        n: independent repair samples per wrong rollout (Eq. 5; paper: 2).
        temperature: sampling temperature of the repairs; null (our reading): `actor_rollout_ref.rollout.temperature`.
        top_p: nucleus of the repairs.
        prompt_template: file with {question}, {response}, {reference}; null: the packaged `repair.txt`.
        max_prompt_length: tokens of a repair prompt, image tokens included; null: prompt + two responses + 256.
        reward_threshold: a repair with r_task of at least this is right (Eq. 6: 1). That of `df.group` is about
            rollouts: which are wrong enough to be repaired, not which repairs are good enough.
        repair_truncated: also repair rollouts cut by the length limit (they have no end token).
        placement: where the repair model runs, see docs/placements.md. `colocated`: on the policy's devices, awake
            after the rollouts only; `dedicated`: on devices of its own; `policy`: the policy repairs its own rollouts,
            on the rollout engine; `remote`: behind an OpenAI-compatible endpoint. All but `colocated` repair a prompt
            as soon as its rollouts are complete, while others are still sampled.
        dedicated: devices of the repair engine's own, for `placement: dedicated`; they are not among the trainer's.
        remote: the endpoint that serves the repair model, for `placement: remote`.
        max_concurrency: samples under way at the same time, of all reward workers together.
        self_test_tolerance: before training, a dedicated or remote engine is sent one prompt alone and many times at
            once: by how much the log-probabilities of its answers may differ, in nats.
        timeout_s: seconds that the samples of one rollout may take, waiting for their turn included; then they are
            given up and counted. A server of ours that takes longer to wake or to sleep is started anew.
        speculation: how the repair engine drafts what is likely to come next (docs/speculation.md): from the
            prompt, which holds the wrong response, with `ngram` (vLLM's) or `copy` (its drafts go on right after an
            edit); `suffix`, from earlier responses too, needs the package arctic-inference; `off`. Repairs have the
            same distribution with all of them.
        rollout: keys of `actor_rollout_ref.rollout` to set differently for the repair engine
            (for example gpu_memory_utilization, tensor_model_parallel_size).
    """

    model_path: str | None = None
    models_dir: str | None = None
    variant: str = FULL
    n: PositiveInt = 2
    temperature: NonNegativeFloat | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    prompt_template: str | None = None
    max_prompt_length: PositiveInt | None = None
    reward_threshold: Annotated[float, Field(gt=0, le=1)] = 1.0
    repair_truncated: bool = True
    placement: Literal["colocated", "dedicated", "policy", "remote"] = "colocated"
    dedicated: DedicatedConfig = field(default_factory=DedicatedConfig)
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    max_concurrency: PositiveInt = 1024
    self_test_tolerance: PositiveFloat = 0.1
    timeout_s: PositiveFloat = 600.0
    speculation: Literal["copy", "ngram", "suffix", "off"] = "ngram"
    rollout: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"df.repair.n={self.n} greedy repairs would all be the same: set a temperature or n=1")
        if self.model_path and self.models_dir:
            raise ValueError(
                f"df.repair.model_path={self.model_path} and df.repair.models_dir={self.models_dir}: give one of them, "
                "a repair model or a folder with one per variant"
            )
        if not self.variant:
            raise ValueError(
                f"df.repair.variant is empty: write the name of a folder in df.repair.models_dir, or {FULL}"
            )
        if self.variant != FULL and not self.models_dir:
            why = "it is the name of a folder in df.repair.models_dir, which is not set"
            if self.model_path:
                why = f"the variant would be ignored: df.repair.model_path={self.model_path} is one model"
            raise ValueError(
                f"df.repair.variant={self.variant}: {why}. Give df.repair.models_dir, a folder with one repair model "
                "per variant, and no df.repair.model_path"
            )

    @property
    def path(self) -> str | None:
        """The repair model to load: `model_path`, or the variant's folder in `models_dir`; None if neither is set."""
        return str(Path(self.models_dir).expanduser() / self.variant) if self.models_dir else self.model_path


@checked
class TruthConfig:
    """Optional ground truth of which tokens are wrong, to score the masks (the toy world has one).

    Attributes:
        path: module of the function, `pkg://package.module` or a file; null: masks are not scored.
        name: the function: (token_ids, extra_info, tokenizer) -> bool [T] or None where the truth is not defined.
        repair_name: with the same arguments -> token ids of the exact repair, or None; for `df.control` only.
    """

    path: str | None = None
    name: str = "error_mask"
    repair_name: str = "exact_repair_ids"


@checked
class LogConfig:
    """What a run leaves on disk.

    Attributes:
        dir: folder for `pairs.jsonl` and its images, and for the ledger; null: `<trainer.default_local_dir>/df`.
        pairs_per_step: error/repair pairs written per step; 0: none, -1: all.
        table_every: W&B and TensorBoard get a table of the step's first written pairs, 16 at most, each time that many
            steps are done; 0: never.
        groups_per_step: prompts whose whole group (all rollouts, reference, all repair candidates with the reasons of
            the rejected ones, what entered the update) is written to `groups.jsonl`, those with a wrong rollout first;
            0: none, -1: all. Of candidates the first 2,048 tokens are kept.
        token_arrays_per_step: of so many of the step's first written pairs `token_arrays.jsonl` gets what the update
            saw of each token (advantage, log-probabilities, ratio, entropy, KL), for the inspector; 0: none, -1: of
            all. A pair of 2 x 1,000 tokens takes some 150 kB.
    """

    dir: str | None = None
    pairs_per_step: Annotated[int, Field(ge=-1)] = 16
    table_every: NonNegativeInt = 0
    groups_per_step: Annotated[int, Field(ge=-1)] = 8
    token_arrays_per_step: Annotated[int, Field(ge=-1)] = 4

    def __post_init__(self) -> None:
        if self.table_every and not self.pairs_per_step:
            raise ValueError(
                f"df.log.table_every={self.table_every}: the table shows written pairs, and df.log.pairs_per_step=0 "
                "writes none; set it to 16, or table_every to 0"
            )


@checked
class BudgetConfig:
    """What a run may spend.

    Attributes:
        device_seconds: devices times seconds of training, by the run's ledger (`verl-df ledger`): the run ends with
            the first step that reaches it, with a checkpoint; what it had spent before it was interrupted counts.
            null: no limit.
    """

    device_seconds: PositiveFloat | None = None


@checked
class CheckConfig:
    """Checks of the data before Ray starts.

    Attributes:
        images: rows of each file that are checked, images included; -1: all, 0: none.
    """

    images: Annotated[int, Field(ge=-1)] = 20000


@checked
class DFConfig:
    """Root of the `df:` block.

    Attributes:
        reward_manager: verl's reward manager that computes r_task (`naive`, `dapo`, ...), or `df_judge`; DF's manager
            wraps it.
        mini_batches: `fixed`: as many optimiser steps per batch as without DF, whatever the number of rows (our
            reading); `verl`: verl's mini-batch size, so that more rows mean more optimiser steps.
        repair: the repair model and how it is sampled.
        group: how the optimised group is built.
        alignment: the alignment operator.
        gate: how a mask becomes a gate.
        judge: the LLM judge, for `reward_manager: df_judge`.
        truth: optional ground truth of which tokens are wrong.
        weight: weights of another method, besides the gate.
        loss: what another method changes inside the policy loss.
        durian: by what spreads of rewards GRPO's advantages are divided (Durian).
        shaping: what is added to the reward of a wrong rollout that has a right repair (IBPO).
        control: replaces one part of the method, for an experiment.
        log: what a run leaves on disk.
        budget: what a run may spend.
        check: checks of the data before Ray starts.
    """

    reward_manager: str = "naive"
    mini_batches: Literal["fixed", "verl"] = "fixed"
    repair: RepairConfig = field(default_factory=RepairConfig)
    group: GroupConfig = field(default_factory=GroupConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)
    weight: WeightConfig = field(default_factory=WeightConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    durian: DurianConfig = field(default_factory=DurianConfig)
    shaping: ShapingConfig = field(default_factory=ShapingConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    log: LogConfig = field(default_factory=LogConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    check: CheckConfig = field(default_factory=CheckConfig)


def load_df_config(block: DictConfig | Mapping[str, Any]) -> DFConfig:
    """Turn the `df:` block of a composed config into a `DFConfig`.

    Raises:
        ConfigError: unknown key, wrong type, value outside its choices.
    """
    return load_block(DFConfig, block, "df")


def load_block(kind: type[T], block: DictConfig | Mapping[str, Any], place: str) -> T:
    """Make a class under `io.validation.checked` from a block of a composed config, or a mapping.

    Args:
        kind: the class.
        block: its keys.
        place: of the block, for errors.

    Raises:
        ConfigError: unknown key, wrong type, a value outside its range or choices, keys that contradict each other.
    """
    try:
        content = OmegaConf.to_container(block, resolve=True) if isinstance(block, DictConfig) else block
    except OmegaConfBaseException as error:
        raise ConfigError(f"{place}: {str(error).splitlines()[0]}") from error
    _check_values(content, place)
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise ConfigError(described(error, kind, place, MOVED)) from error


def _check_values(content: Any, place: str) -> None:
    """Raise ConfigError for a text or whole number that no check can handle, wherever it is in a block."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            _check_values(value, f"{place}.{key}")
    elif isinstance(content, str) and any("\ud800" <= character <= "\udfff" for character in content):
        raise ConfigError(f"{place}={content!r}: half of a surrogate pair is no text")
    elif isinstance(content, int) and abs(content) >= 1 << 63:
        raise ConfigError(f"{place}: a whole number of {content.bit_length()} bits; 63 is the most")


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
    """Refuse `objective=` or `run=` with a name that has no file, before Hydra's own error of many lines.

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
        for name in value.strip("[]").split(","):  # several files, or a sweep
            _check_group_name(group, name.strip("'\""), folder)


def _check_group_name(group: str, name: str, folder: Path) -> None:
    known = [path.stem for path in (folder / group).glob("[!_]*.yaml")]
    if name not in known:
        raise ConfigError(f"{group}={name}: no such {group}; {nearest(name, known)}")


def _check_path(key: str, root: type) -> None:
    if key in MOVED:
        raise ConfigError(f"{key} is {MOVED[key]} now")
    parts = key.split(".")
    for depth, part in enumerate(parts[1:], start=1):
        block = block_of(annotation_at(root, parts[1:depth]))
        if block is None:
            return  # inside a free dict (df.repair.rollout): verl knows the keys
        names = [one.name for one in dataclasses.fields(block)]
        if part not in names:
            where = ".".join(parts[:depth])
            raise ConfigError(f"unknown key {key!r}: no {part!r} under {where!r}; {nearest(part, names)}")
