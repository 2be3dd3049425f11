# SPDX-License-Identifier: Apache-2.0
"""From a file of rollouts to pairs and figures."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from verl_df.io.files import write_json, write_text
from verl_df.io.lock import only_writer
from verl_df.lab.command_line import check_at_least, engine_arguments
from verl_df.lab.explain.candidates import Candidates, check_judgeable, given_repairs, judge, sibling_repairs
from verl_df.lab.explain.draw import LEGEND, coloured
from verl_df.lab.explain.feedback import STEP, explain_groups, plan_groups, records_of
from verl_df.lab.explain.options import alignment_of, check_steps, gate_of, settings_from
from verl_df.lab.explain.pictures import check_pictures, keep_pictures
from verl_df.lab.explain.rows import Group, RolloutRow, make_groups, read_rows
from verl_df.lab.explain.sampling import Sampling, sample_repairs
from verl_df.lab.explain.summary import pair_lines, summary_lines
from verl_df.lab.explain.units import Units, open_units
from verl_df.lab.task_reward import TaskReward
from verl_df.method.feedback import FeedbackConfig
from verl_df.method.group import GroupConfig, GroupMode, GroupPlan
from verl_df.method.metrics import aggregate
from verl_df.method.records import PAIRS, PairRecord
from verl_df.prompts import load_template

GROUP = {
    "mode": "df.group.mode: what becomes of a group",
    "reward_threshold": "df.group.reward_threshold: a rollout with at least this reward is right",
    "reference": "df.group.reference: what a repair model is shown",
    "on_no_correct": "df.group.on_no_correct: prompts without a right rollout",
    "on_infeasible": "df.group.on_infeasible: errors without a right repair",
    "on_no_repair": "df.group.on_no_repair: groups without a right repair",
}
_FILES = ("pairs.jsonl", "metrics.jsonl", "summary.json")


def explain(arguments: argparse.Namespace) -> None:
    """Plan, repair, align and count; see the help of the command. Raises: ValueError for anything that is wrong."""
    config, sampling = _config(arguments), _sampling(arguments)
    rows = read_rows(arguments.rows)
    ids_only = not any(row.has_text for _, row in rows)
    _check_options(arguments, [row for _, row in rows])
    check_steps(config.gate, arguments.repair_model or arguments.tokenizer, ids_only=ids_only)
    units = open_units(arguments.repair_model or arguments.tokenizer, arguments.split, ids_only=ids_only)
    groups = make_groups(arguments.rows, rows, units, arguments.seed)
    check_pictures(groups, arguments.rows.parent)
    with ExitStack() as stack:
        if arguments.out:
            _check_free(arguments.out)
            stack.enter_context(only_writer(arguments.out))
        plans = plan_groups(groups, config)
        candidates = _candidates(arguments, sampling, groups, plans, units)
        judge(groups, candidates, units.decode, lambda: _reward(arguments))
        results = explain_groups(groups, candidates, config, units)
        metrics = aggregate(result.outcome for result in results)
        pairs: list[tuple[int, PairRecord]] = []
        for group, result in zip(groups, results, strict=True):
            images: tuple[str, ...] = ()
            if arguments.out and result.attempts:
                images = keep_pictures(group, arguments.rows.parent, arguments.out / "images")
            pairs += records_of(group, result, units, images)
        if arguments.out:
            _write(arguments.out, [record for _, record in pairs], metrics, config, arguments.rows.name)
    _print(pairs, metrics, config, arguments)


def _config(arguments: argparse.Namespace) -> FeedbackConfig:
    group = settings_from(arguments, GroupConfig, GROUP)
    if group.mode is GroupMode.OFF:
        raise ValueError("--mode off repairs and aligns nothing: give repair_pairs or gate_only")
    if not 0 < arguments.repair_reward_threshold <= 1:
        raise ValueError(f"--repair-reward-threshold {arguments.repair_reward_threshold}: more than 0, at most 1")
    return FeedbackConfig(
        group,
        alignment_of(arguments),
        gate_of(arguments),
        repair_truncated=not arguments.skip_truncated,
        repair_threshold=arguments.repair_reward_threshold,
    )


def _sampling(arguments: argparse.Namespace) -> Sampling:
    given = {one.name: getattr(arguments, one.name) for one in dataclasses.fields(Sampling) if one.name in arguments}
    if given and not arguments.repair_model:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} has no effect without --repair-model")
    return Sampling(**given)


def _check_options(arguments: argparse.Namespace, rows: Sequence[RolloutRow]) -> None:
    check_at_least(0, arguments, "show", "seed")
    check_at_least(1, arguments, "reward_workers", "max_model_len")
    if arguments.repair_model and (arguments.tokenizer or arguments.repairs):
        raise ValueError("--repair-model samples the repairs, in its own tokens: leave out --tokenizer and --repairs")
    if not arguments.repair_model and arguments.repairs != "sibling" and not any(row.has_repair for row in rows):
        raise ValueError(
            f"{arguments.rows}: no row has a 'repair': give --repairs sibling or --repair-model MODEL, or write "
            "'repair' and 'repair_reward' into the rows"
        )


def _candidates(
    arguments: argparse.Namespace,
    sampling: Sampling,
    groups: Sequence[Group],
    plans: Sequence[GroupPlan],
    units: Units,
) -> list[Candidates]:
    if arguments.repair_model is None:
        found = sibling_repairs if arguments.repairs == "sibling" else given_repairs
        return [found(group, plan) for group, plan in zip(groups, plans, strict=True)]
    check_judgeable(
        (group, [rollout.key for rollout in plan.to_repair]) for group, plan in zip(groups, plans, strict=True)
    )
    from verl_df.adapters.policy_training.repair_client import placeholder_ids  # imports verl's rollout: seconds
    from verl_df.lab.generation import VLLMGenerator, load_processor

    engine = engine_arguments(arguments.engine)
    options = {"max_model_len": arguments.max_model_len, "dtype": arguments.dtype, **engine}
    return sample_repairs(
        groups,
        plans,
        sampling,
        decode=units.decode,
        open_generator=lambda: VLLMGenerator(arguments.repair_model, **options),
        placeholders=placeholder_ids(load_processor(arguments.repair_model)),
        folder=arguments.rows.parent,
        template=load_template(arguments.template) if arguments.template else None,
        seed=arguments.seed,
    )


def _reward(arguments: argparse.Namespace) -> TaskReward:
    return TaskReward(arguments.reward_path, arguments.reward_name, arguments.reward_workers)


def _check_free(out: Path) -> None:
    """Raise ValueError for a folder that holds a run, which would be overwritten."""
    for name in _FILES:
        if (out / name).exists():
            raise ValueError(f"{out / name} is there already: give another --out")


def _write(
    out: Path, pairs: Sequence[PairRecord], metrics: dict[str, float], config: FeedbackConfig, name: str
) -> None:
    PAIRS.write(out / "pairs.jsonl", pairs)
    write_text(out / "metrics.jsonl", json.dumps({"step": STEP, "data": metrics}) + "\n")
    blocks = {block: dataclasses.asdict(getattr(config, block)) for block in ("group", "alignment", "gate")}
    write_json(out / "summary.json", {"title": f"Difference feedback, not trained: {name}", **blocks})


def _print(
    pairs: Sequence[tuple[int, PairRecord]],
    metrics: dict[str, float],
    config: FeedbackConfig,
    arguments: argparse.Namespace,
) -> None:
    shown = pairs[: arguments.show]
    if any(record.repair is not None for _, record in shown):
        print(f"{LEGEND}\n")
    for line, record in shown:
        print(f"{pair_lines(line, record, config.alignment, colour=coloured(sys.stdout))}\n")
    if len(pairs) > len(shown):
        print(f"... and {len(pairs) - len(shown)} more pairs (--show N)\n")
    print("\n".join(summary_lines(metrics)))
    if arguments.out:
        print(f"\nwrote {arguments.out}: {len(pairs)} pairs; verl-df report --run {arguments.out} shows them")
