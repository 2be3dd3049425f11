# SPDX-License-Identifier: Apache-2.0
"""What each command does with its options."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from verl_df.lab.generation import VLLMGenerator
from verl_df.lab.repair_data.annotations import export_jsonl, write_targets
from verl_df.lab.repair_data.folder import SampleSettings, SetFolder
from verl_df.lab.repair_data.forms import export_forms
from verl_df.lab.repair_data.imports import import_annotations
from verl_df.lab.repair_data.options import at_least, check_numbers, engine_setting
from verl_df.lab.repair_data.records import RepairSample, read_samples
from verl_df.lab.repair_data.rows import (
    SFT_SCHEMA,
    held_out_prompts,
    prompt_key,
    row_file,
    sft_row,
    task_row,
    task_schema,
)
from verl_df.lab.repair_data.sample import prepare, sample_set
from verl_df.lab.repair_data.targets import TargetChecker, TargetRules
from verl_df.lab.rl_data import RLData
from verl_df.lab.task_reward import TaskReward, load_function
from verl_df.prompts import load_template


def sample(arguments: argparse.Namespace) -> None:
    """Check everything that can be checked without the model, then sample."""
    check_numbers(arguments)
    engine = dict(engine_setting(text) for text in arguments.engine)
    folder, data = SetFolder(arguments.out), RLData(arguments.data)
    settings = sample_settings(arguments, data)
    reward = TaskReward(settings.reward_path, settings.reward_name, arguments.reward_workers)
    prepare(folder, data, settings)
    options = {"max_model_len": arguments.max_model_len, "dtype": arguments.dtype, **engine}
    with VLLMGenerator(settings.model, **options) as generator:
        summary = sample_set(
            folder,
            data,
            settings,
            generator,
            reward,
            prompts=arguments.prompts,
            limit=arguments.limit,
            batch=arguments.batch,
        )
    print("\n".join([f"{folder.samples}:", *summary.lines()]))


def sample_settings(arguments: argparse.Namespace, data: RLData) -> SampleSettings:
    """The settings that a set is defined by. A reward given as a file is named by its whole path."""
    reward = arguments.reward_path
    if reward and "://" not in reward:
        reward = str(Path(reward).resolve())
    model = Path(arguments.model)
    return SampleSettings(
        model=str(model.resolve()) if model.is_dir() else arguments.model,
        data=str(data.path.resolve()),
        data_rows=data.rows,
        data_bytes=data.path.stat().st_size,
        per_prompt=arguments.per_prompt,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        max_tokens=arguments.max_tokens,
        image_removal=arguments.image_removal,
        text_only_samples=arguments.text_only_samples,
        text_only_threshold=arguments.text_only_threshold,
        reference=arguments.reference,
        answer_share=arguments.answer_share,
        answer_fallback=arguments.answer_fallback,
        reward_path=reward,
        reward_name=arguments.reward_name,
        seed=arguments.seed,
    )


def export(arguments: argparse.Namespace) -> None:
    """Forms or lines for all samples, or for some drawn uniformly."""
    folder = _sampled(arguments)
    for name in ("per_file", "count"):
        at_least(arguments, name, 1)
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
    at_least(arguments, "max_tokens", 1)
    settings = folder.read_settings()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model or settings.model)
    rules = TargetRules(arguments.max_tokens or settings.max_tokens, arguments.max_edit_ratio)
    reward = TaskReward(settings.reward_path, settings.reward_name, arguments.reward_workers)
    out = arguments.out or folder.repairs
    checker = TargetChecker(tokenizer, rules)
    report = import_annotations(
        folder, arguments.annotations, checker, reward, out=out, skip_broken=arguments.skip_broken
    )
    print("\n".join([*report.broken_lines(), *report.lines(), f"wrote {out}"]))
    if report.broken:
        print(f"wrote {folder.rejected}")


def parquet(arguments: argparse.Namespace) -> None:
    """verl's files; a prompt is held out of all but the validation file, or of that one."""
    folder = _sampled(arguments)
    _check_outputs(arguments, folder)
    template = load_template(arguments.template) if arguments.template else None
    held: frozenset[str] = frozenset()
    if arguments.held_out is not None:
        held = held_out_prompts(read_samples(folder.samples), arguments.held_out, arguments.seed)
    with ExitStack() as stack:
        schema = task_schema(folder)
        train, val = (
            stack.enter_context(row_file(path, schema)) if path else None
            for path in (arguments.out_rl, arguments.out_val)
        )
        sft = stack.enter_context(row_file(arguments.out_sft, SFT_SCHEMA)) if arguments.out_sft else None
        for one in read_samples(folder.samples) if train or val else ():
            file = val if prompt_key(one) in held else train
            if file:
                file.write(task_row(one, folder.images))
        for one in _outside(folder.repairs, held) if sft else ():
            sft.write(sft_row(one, folder.images, template))
        written = [(path, file) for path, file in zip(_outputs(arguments), (sft, train, val), strict=True) if file]
        for path, file in written:
            if not file.rows:
                raise ValueError(f"{path} would have no rows; nothing was written")
    for path, file in written:
        print(f"wrote {path}: {file.rows} rows")


def _outside(path: Path, held: frozenset[str]) -> Iterator[RepairSample]:
    return (one for one in read_samples(path) if prompt_key(one) not in held)


def _outputs(arguments: argparse.Namespace) -> tuple[Path | None, ...]:
    return arguments.out_sft, arguments.out_rl, arguments.out_val


def _check_outputs(arguments: argparse.Namespace, folder: SetFolder) -> None:
    given = [path.resolve() for path in _outputs(arguments) if path]
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


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "sample": sample,
    "export": export,
    "targets": targets,
    "import": import_,
    "parquet": parquet,
}
