# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to the table of its audit."""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.adapters.policy_training.repair_client import placeholder_ids
from verl_df.io.files import write_json, write_text
from verl_df.io.lock import only_writer
from verl_df.lab.checkpoint.merge import merge_checkpoint
from verl_df.lab.command_line import engine_arguments
from verl_df.lab.explain.candidates import Candidates, judge, sibling_repairs
from verl_df.lab.explain.feedback import explain_groups, plan_groups
from verl_df.lab.explain.options import ALIGNMENT, GATE, settings_from
from verl_df.lab.explain.pictures import check_pictures
from verl_df.lab.explain.rows import Group, make_groups, read_rows
from verl_df.lab.explain.sampling import Sampling, sample_repairs
from verl_df.lab.explain.units import Units, open_units
from verl_df.lab.generation import Generator, VLLMGenerator, load_processor
from verl_df.lab.task_reward import TaskReward
from verl_df.lab.toy.settings import WORLDS
from verl_df.lab.weight_audit.batch import Audited, OpenGenerator, audited, sample_batch
from verl_df.lab.weight_audit.passes import Passes
from verl_df.lab.weight_audit.report import Line, write_lines, write_page
from verl_df.lab.weight_audit.settings import BatchSettings
from verl_df.lab.weight_audit.sources import (
    CONTROLS,
    ByKey,
    Source,
    control_source,
    oracle,
    position,
    repair_gates,
    repair_masks,
    weight_source,
)
from verl_df.method.alignment import AlignmentConfig
from verl_df.method.feedback import FeedbackConfig, GroupResult
from verl_df.method.gates import GateConfig
from verl_df.method.group import GroupConfig, GroupMode, OnNoCorrect
from verl_df.token_weights.weigh import METHODS

TOY_REWARD = "pkg://verl_df.lab.toy.reward"


@dataclass(frozen=True)
class Job:
    """What is audited.

    Attributes:
        policy: Hugging Face folder.
        repair_model: the same, or a hub name; None: no source that needs repairs of a model.
        rows: the batch, a file of `verl-df explain`.
        groups: its prompts.
        config: the method's settings. Gate-only, so that right responses keep their weight of 1 and an error's gate is
            that of any objective.
        units: the policy's tokens.
        reward_path: of r_task; None: verl's own.
        seed: of references, samples and draws.
    """

    policy: str
    repair_model: str | None
    rows: Path
    groups: list[Group]
    config: FeedbackConfig
    units: Units
    reward_path: str | None
    seed: int

    @property
    def threshold(self) -> float:
        """A rollout with at least this reward is right."""
        return self.config.group.reward_threshold


def audit(arguments: argparse.Namespace, open_generator: OpenGenerator | None = None) -> str:
    """Audit, write `audit.jsonl`, `audit.md` and `settings.json`, and return the page.

    Args:
        arguments: of the command line.
        open_generator: opens a model for sampling; None: in vLLM's offline engine.

    Raises:
        ValueError: for anything that is wrong.
    """
    out: Path = arguments.out
    engine = {"max_model_len": arguments.max_model_len, "dtype": arguments.dtype, **engine_arguments(arguments.engine)}
    opened = open_generator or (lambda model: VLLMGenerator(model, **engine))
    batch, sampling = _options(arguments, BatchSettings), _options(arguments, Sampling)
    if arguments.rows is not None and any(field.name in arguments for field in dataclasses.fields(BatchSettings)):
        raise ValueError("--prompts and --per-prompt are of a batch that is sampled: leave them out with --rows")
    with only_writer(out):
        for name in ("audit.jsonl", "rollouts.jsonl"):
            if (out / name).exists():
                raise ValueError(f"{out / name} is there already: give another --out")
        policy = policy_folder(arguments.policy, out)
        rows, reward = arguments.rows, arguments.reward_path
        if rows is None:
            rows = sample_batch(out, policy, WORLDS[arguments.world], batch, opened, arguments.seed)
            reward = reward or TOY_REWARD
        config = FeedbackConfig(
            GroupConfig(mode=GroupMode.GATE_ONLY, on_no_correct=OnNoCorrect(arguments.on_no_correct)),
            settings_from(arguments, AlignmentConfig, ALIGNMENT),
            settings_from(arguments, GateConfig, GATE),
        )
        units = open_units(policy, None, ids_only=True)
        groups = make_groups(rows, read_rows(rows), units, arguments.seed)
        check_pictures(groups, rows.parent)
        job = Job(policy, arguments.repair_model, rows, groups, config, units, reward, arguments.seed)
        return _write(out, job, arguments.policy, sampling, opened)


def policy_folder(given: str, out: Path) -> str:
    """A Hugging Face folder or hub name as it is; a trainer's checkpoint merged into `out/policy`."""
    path = Path(given)
    if not path.is_dir() or (path / "config.json").is_file():
        return given
    return str(merge_checkpoint(path, out / "policy"))


def _options(arguments: argparse.Namespace, kind: type) -> Any:
    return kind(**{one.name: getattr(arguments, one.name) for one in dataclasses.fields(kind) if one.name in arguments})


def _write(out: Path, job: Job, given: str, sampling: Sampling, open_generator: OpenGenerator) -> str:
    rows = audited(job.groups, job.config.group)
    sources, masks = all_sources(job, rows, sampling, open_generator)
    passes = Passes(job.policy, job.groups, job.rows.parent, job.seed)
    sources += [weight_source(kind, job.groups, passes, job.threshold) for kind in METHODS]
    lines = [Line.of(source, rows, masks, job.seed) for source in [*sources, oracle(rows), position(rows)]]
    facts = _facts(job, given, rows, masks, sampling, passes.scores().seconds)
    write_json(out / "settings.json", facts)
    write_lines(out / "audit.jsonl", lines)
    page = write_page(lines, facts)
    write_text(out / "audit.md", page)
    return page


def all_sources(
    job: Job, rows: Sequence[Audited], sampling: Sampling, open_generator: OpenGenerator
) -> tuple[list[Source], ByKey]:
    """Sources from repairs, and the masks of the repair model's repairs, by the key of the rollout."""
    sources: list[Source] = []
    masks: ByKey = {}
    if job.repair_model is not None:
        results, seconds = model_results(job, sampling, open_generator)
        masks = repair_masks(results)
        sources.append(Source("df", "the gate, from the repair model", repair_gates(results), seconds))
        sources += [control_source(kind, results, job.seed) for kind in CONTROLS]
    started = time.perf_counter()
    results = results_of(job, lambda plans: list(map(sibling_repairs, job.groups, plans)))
    seconds = time.perf_counter() - started
    sources.append(Source("sibling", "the gate, from the nearest right response", repair_gates(results), seconds))
    return sources, masks


def model_results(job: Job, sampling: Sampling, open_generator: OpenGenerator) -> tuple[list[GroupResult], float]:
    """The method with the repair model, and its seconds; loading the model does not count."""
    model, loading = job.repair_model or "", _Loading()
    processor = load_processor(model)

    def candidates(plans: Sequence[Any]) -> list[Candidates]:
        return sample_repairs(
            job.groups,
            plans,
            sampling,
            decode=job.units.decode,
            open_generator=lambda: loading.around(open_generator(model)),
            placeholders=placeholder_ids(processor),
            folder=job.rows.parent,
            template=None,
            seed=job.seed,
        )

    started = time.perf_counter()
    results = results_of(job, candidates)
    return results, time.perf_counter() - started - loading.seconds


def results_of(job: Job, candidates_of: Callable[[Sequence[Any]], list[Candidates]]) -> list[GroupResult]:
    """The gated groups with the candidates that are found for their plans."""
    candidates = candidates_of(plan_groups(job.groups, job.config))
    judge(job.groups, candidates, job.units.decode, lambda: TaskReward(job.reward_path))
    return explain_groups(job.groups, candidates, job.config, job.units)


@dataclass
class _Loading:
    """Seconds in which a model was loaded and put away."""

    seconds: float = 0.0

    @contextmanager
    def around(self, opening: AbstractContextManager[Generator]) -> Iterator[Generator]:
        started = time.perf_counter()
        with opening as generator:
            self.seconds += time.perf_counter() - started
            yield generator
            started = time.perf_counter()
        self.seconds += time.perf_counter() - started


def _facts(
    job: Job, given: str, rows: Sequence[Audited], masks: ByKey, sampling: Sampling, seconds: float
) -> dict[str, Any]:
    rollouts = [rollout for group in job.groups for rollout in group.request.rollouts]
    repaired = None if job.repair_model is None else sum(row.key in masks for row in rows) / len(rows)
    return {
        "policy": given,
        "repair_model": job.repair_model,
        "rows": job.rows.name,
        "seed": job.seed,
        "on_no_correct": job.config.group.on_no_correct.value,
        "alignment": dataclasses.asdict(job.config.alignment),
        "gate": dataclasses.asdict(job.config.gate),
        "sampling": dataclasses.asdict(sampling),
        "responses": len(rollouts),
        "right": sum(rollout.reward >= job.threshold for rollout in rollouts),
        "audited": len(rows),
        "prompts": len({row.uid for row in rows}),
        "tokens": sum(len(row.wrong) for row in rows) / len(rows),
        "wrong_tokens": sum(int(row.wrong.sum()) for row in rows) / len(rows),
        "repaired": repaired,
        "pass_seconds": seconds,
    }
