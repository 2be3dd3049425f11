# SPDX-License-Identifier: Apache-2.0
"""What each command does with its options."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from verl_df.io.files import whole_path
from verl_df.io.lock import only_writer
from verl_df.lab.command_line import check_at_least, engine_arguments
from verl_df.lab.generation import VLLMGenerator
from verl_df.lab.repair_data.annotations import export_jsonl, write_targets
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.forms import export_forms
from verl_df.lab.repair_data.imports import import_annotations
from verl_df.lab.repair_data.records import RepairSample, read_samples
from verl_df.lab.repair_data.rows import (
    SFT_SCHEMA,
    held_out_prompts,
    prompt_key,
    sft_row,
    task_row,
    task_schema,
    write_rows,
)
from verl_df.lab.repair_data.sample import prepare, sample_set
from verl_df.lab.repair_data.settings import SampleSettings
from verl_df.lab.repair_data.summary import summary_lines
from verl_df.lab.repair_data.targets import TargetChecker
from verl_df.lab.rl_data import RLData
from verl_df.lab.task_reward import TaskReward, load_function
from verl_df.prompts import load_template


def sample(arguments: argparse.Namespace) -> None:
    """Check everything that can be checked without the model, then sample."""
    check_at_least(1, arguments, "prompts", "limit", "batch", "reward_workers")
    engine = engine_arguments(arguments.engine)
    folder, data = SetFolder(arguments.out), RLData(arguments.data)
    settings = sample_settings(arguments, data)
    _check_settings(settings)
    reward = TaskReward(settings.reward_path, settings.reward_name, arguments.reward_workers)
    options = {"max_model_len": arguments.max_model_len, "dtype": arguments.dtype, **engine}
    sizes = {name: getattr(arguments, name) for name in ("prompts", "limit", "batch")}
    with only_writer(folder.root):
        prepare(folder, data, settings)
        with VLLMGenerator(settings.model, **options) as generator:
            summary = sample_set(folder, data, settings, generator, reward, **sizes)
    print("\n".join([f"{folder.samples}:", *summary_lines(summary)]))


def sample_settings(arguments: argparse.Namespace, data: RLData) -> SampleSettings:
    """The options that a set is defined by. Files and folders among them are named by their whole path."""
    options = {name: value for name, value in vars(arguments).items() if name in SampleSettings.__dataclass_fields__}
    reward, model = options.get("reward_path"), Path(arguments.model)
    if reward and "://" not in reward:
        options["reward_path"] = str(Path(reward).resolve())
    if model.is_dir():
        options["model"] = str(model.resolve())
    file = data.path.resolve()
    return SampleSettings(**{**options, "data": str(file), "data_rows": data.rows, "data_bytes": file.stat().st_size})


def _check_settings(settings: SampleSettings) -> None:
    """Raise ValueError for an option of `sample` that is out of range."""
    check_at_least(1, settings, "per_prompt", "max_tokens")
    check_at_least(0, settings, "text_only_samples", "temperature", "seed")
    if not 0 < settings.top_p <= 1:
        raise ValueError(f"--top-p {settings.top_p}: more than 0, at most 1 (1: the whole vocabulary)")
    if not 0 < settings.text_only_threshold <= 1:
        raise ValueError(f"--text-only-threshold {settings.text_only_threshold}: a share, more than 0, at most 1")
    if not 0 <= settings.answer_share <= 1:
        raise ValueError(f"--answer-share {settings.answer_share}: a share, from 0 to 1")
    if settings.answer_fallback and settings.reference not in ("sibling", "mixed"):
        raise ValueError(
            f"--answer-fallback: where there is no correct sibling, and --reference {settings.reference} needs none"
        )
    if settings.temperature == 0 and (settings.per_prompt > 1 or settings.text_only_samples > 1):
        raise ValueError("--temperature 0: greedy responses would all be the same; set a temperature, or sample one")


def export(arguments: argparse.Namespace) -> None:
    """Forms or lines for all samples, or for some drawn uniformly."""
    folder = _sampled(arguments)
    check_at_least(1, arguments, "per_file", "count")
    chosen = None
    if arguments.count is not None:
        ids = [one.id for one in read_samples(folder.samples)]
        drawn = np.random.default_rng(arguments.seed).permutation(len(ids))[: arguments.count]
        chosen = {ids[index] for index in drawn}
    if arguments.format == "jsonl":
        out = arguments.out or folder.root / "to_annotate.jsonl"
        print(f"wrote {export_jsonl(folder, out, chosen)} lines to {out}")
        return
    if arguments.out:
        raise ValueError(f"--out {arguments.out}: forms are written to {folder.forms}; --out is for --format jsonl")
    with only_writer(folder.forms):
        forms = export_forms(folder, arguments.per_file, chosen)
    print(f"wrote {len(forms)} form(s): {forms[0]}{f' to {forms[-1].name}' if len(forms) > 1 else ''}")


def targets(arguments: argparse.Namespace) -> None:
    """Computed annotations."""
    folder = _sampled(arguments)
    out = arguments.out or folder.root / "annotations.jsonl"
    if out.exists() and not arguments.overwrite:
        raise ValueError(f"{out} is there already: give --overwrite, or another --out")
    module, _, name = arguments.function.rpartition(":")
    if not module or not name.isidentifier():
        raise ValueError(f"--function {arguments.function!r}: write pkg://package.module:name, or file.py:name")
    counts = write_targets(folder, out, load_function(module, name))
    print(f"wrote {out}: {counts['written']} targets, {counts['skipped']} skipped")


def import_(arguments: argparse.Namespace) -> None:
    """Checked annotations become repairs."""
    from transformers import AutoTokenizer

    folder = _sampled(arguments)
    for path in arguments.annotations:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file of annotations")
    check_at_least(1, arguments, "max_tokens")
    settings = folder.read_settings()
    _check_trusted(settings.reward_path, arguments.reward_path)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model or settings.model)
    checker = TargetChecker(tokenizer, arguments.max_tokens or settings.max_tokens, arguments.max_edit_ratio)
    reward = TaskReward(settings.reward_path, settings.reward_name, arguments.reward_workers)
    out = arguments.out or folder.repairs
    with only_writer(folder.root):
        report = import_annotations(
            folder, arguments.annotations, checker, reward, out=out, skip_broken=arguments.skip_broken
        )
    print("\n".join([*report.broken_lines(), *report.lines(), f"wrote {out}"]))
    if report.broken:
        print(f"wrote {folder.rejected}")


def _check_trusted(path: str | None, given: str | None) -> None:
    """Raise ValueError for a set whose reward function is a file, unless the user names it: a set may be anybody's."""
    if given is not None and "://" not in given:
        given = str(Path(given).resolve())
    if given != path and (given is not None or (path is not None and not path.startswith("pkg://"))):
        raise ValueError(
            f"the set's settings name {path} as its reward function, which would be run: give --reward-path {path} if "
            "you trust it"
        )


def parquet(arguments: argparse.Namespace) -> None:
    """verl's files; a prompt is held out of all but the validation file, or of that one."""
    folder = _sampled(arguments)
    sft, train, val = arguments.out_sft, arguments.out_rl, arguments.out_val
    _check_outputs(arguments, folder)
    template = load_template(arguments.template) if arguments.template else None
    held: frozenset[str] = frozenset()
    if arguments.held_out is not None:
        held = held_out_prompts(read_samples(folder.samples), arguments.held_out, arguments.seed)
    written: dict[Path, int] = {}
    with ExitStack() as stack:
        if sft:
            rows = (sft_row(one, folder.images, template) for one in _side(folder.repairs, held, False))
            written[sft] = write_rows(stack.enter_context(whole_path(sft)), SFT_SCHEMA, rows)
        for path, is_held in ((train, False), (val, True)):
            if path:
                rows = (task_row(one, folder.images) for one in _side(folder.samples, held, is_held))
                written[path] = write_rows(stack.enter_context(whole_path(path)), task_schema(folder), rows)
        for path, count in written.items():
            if not count:
                raise ValueError(f"{path} would have no rows; nothing was written")
    for path, count in written.items():
        print(f"wrote {path}: {count} rows")


def _side(path: Path, held: frozenset[str], is_held: bool) -> Iterator[RepairSample]:
    return (one for one in read_samples(path) if (prompt_key(one) in held) == is_held)


def _check_outputs(arguments: argparse.Namespace, folder: SetFolder) -> None:
    given = [path.resolve() for path in (arguments.out_sft, arguments.out_rl, arguments.out_val) if path]
    if not given:
        raise ValueError("nothing to write: give --out-sft, --out-rl or both")
    if len(set(given)) < len(given):
        raise ValueError("two of --out-sft, --out-rl and --out-val are the same file")
    if (arguments.held_out is None) != (arguments.out_val is None):
        raise ValueError("--held-out and --out-val belong together: give both, or none")
    if arguments.out_sft and not folder.repairs.is_file():
        raise FileNotFoundError(f"{folder.repairs}: no such file; write it with the command `import`")


def _sampled(arguments: argparse.Namespace) -> SetFolder:
    folder = SetFolder(arguments.folder)
    folder.check_sampled()
    return folder
