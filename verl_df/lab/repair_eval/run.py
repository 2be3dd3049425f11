# SPDX-License-Identifier: Apache-2.0
"""Runs an evaluation: reads the tasks, loads one model after the other, keeps every sample."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from verl_df.lab.generation import Generator, VLLMGenerator, load_processor
from verl_df.lab.repair_eval.folder import FolderWriter, check_new
from verl_df.lab.repair_eval.sampling import AGAIN, COPY, Sampler, Sampling, check_tokenizer, task_records
from verl_df.lab.repair_eval.tasks import RepairTask, read_tasks
from verl_df.lab.task_reward import Answer, TaskReward, load_function
from verl_df.prompts import load_template

OpenGenerator = Callable[[str], AbstractContextManager[Generator]]


@dataclass(frozen=True)
class EvaluationSettings:
    """All settings of an evaluation, as they are kept in settings.json.

    repair: model folder by name. policy: model folder, None: no "answer again". max_tokens: None: twice the longest
    response of the data. engine: further arguments of `vllm.LLM`. The others are those of the command line.
    """

    data: str
    repair: dict[str, str]
    policy: str | None = None
    n: int = 2
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None
    seeds: int = 3
    seed: int = 0
    greedy: bool = False
    limit: int | None = None
    threshold: float = 1.0
    image_removal: str | None = None
    prompt_template: str | None = None
    reward_path: str | None = None
    reward_name: str = "compute_score"
    reward_workers: int = 1
    truth_path: str | None = None
    truth_name: str = "error_mask"
    max_model_len: int | None = None
    dtype: str = "auto"
    engine: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("n", "seeds", "reward_workers", "max_tokens", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {value}: at least 1")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"--threshold is {self.threshold}: must lie in (0, 1]")
        if not (self.temperature > 0 and 0 < self.top_p <= 1):
            raise ValueError("--temperature must be above 0 and --top-p in (0, 1]; --greedy adds greedy samples")
        taken = sorted({AGAIN, COPY} & self.repair.keys())
        if taken or any("#" in name for name in self.repair):
            raise ValueError(f"a repair model cannot be named {', '.join(taken) or 'with #'}: choose another NAME")


def run_evaluation(settings: EvaluationSettings, out: Path, open_generator: OpenGenerator | None = None) -> None:
    """Evaluate and write settings, tasks and samples into `out`.

    Everything that can be wrong is checked before the first model is loaded into the engine.

    Args:
        settings: what to evaluate, and how.
        out: a folder without a finished evaluation.
        open_generator: opens a model; None: vLLM's offline engine.

    Raises:
        FileNotFoundError: data or template is missing.
        ValueError: anything else that is wrong; the message says where.
    """
    check_new(out)
    tasks = read_tasks(Path(settings.data), settings.limit)
    sampling = _sampling(settings, tasks)
    methods = _by_model(settings)
    processors = {model: load_processor(model) for model in methods}
    for model, processor in processors.items():
        check_tokenizer(tasks, _tokenizer(processor), model)
    reward = TaskReward(settings.reward_path, settings.reward_name, settings.reward_workers)
    right = _count_right(tasks, reward, settings.threshold)
    truth = load_function(settings.truth_path, settings.truth_name) if settings.truth_path else None
    processor = processors[next(iter(settings.repair.values()))]
    tokenizer, placeholders = _tokenizer(processor), _placeholder_ids(processor)
    kept = asdict(settings) | {"max_tokens": sampling.max_tokens, "rows": len(tasks), "rows_judged_right": right}
    with FolderWriter(out, kept, task_records(tasks, truth, tokenizer)) as writer:
        sampler = Sampler(tasks, sampling, reward, tokenizer, placeholders, writer.write)
        sampler.copy_reference()
        for model, names in methods.items():
            with (open_generator or _vllm(settings))(model) as generator:
                for name in names:
                    print(f"[repair_eval] {name}: {model}, {len(tasks)} responses", flush=True)
                    _run_method(sampler, name, generator)


def _run_method(sampler: Sampler, name: str, generator: Generator) -> None:
    if name == AGAIN:
        sampler.answer_again(generator)
    else:
        sampler.repair(name, generator)


def _by_model(settings: EvaluationSettings) -> dict[str, list[str]]:
    """Names of the methods of each model, so that none is loaded twice."""
    methods: dict[str, list[str]] = {}
    for name, model in settings.repair.items():
        methods.setdefault(model, []).append(name)
    if settings.policy is not None:
        methods.setdefault(settings.policy, []).append(AGAIN)
    return methods


def _sampling(settings: EvaluationSettings, tasks: Sequence[RepairTask]) -> Sampling:
    template = load_template(Path(settings.prompt_template)) if settings.prompt_template else None
    longest = max(len(task.response_ids) for task in tasks)
    return Sampling(
        n=settings.n,
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens or 2 * longest,
        seeds=tuple(range(settings.seed, settings.seed + settings.seeds)),
        greedy=settings.greedy,
        image_removal=settings.image_removal,
        threshold=settings.threshold,
        template=template,
    )


def _count_right(tasks: Sequence[RepairTask], reward: TaskReward, threshold: float) -> int:
    """How many of the responses y the reward calls right: none should be, and a judge may waver on a few.

    Raises:
        ValueError: more than half; the reward or the threshold is not the one that the data was made with.
    """
    answers = [Answer(task.data_source, task.response, task.ground_truth, task.extra_info) for task in tasks]
    right = sum(value >= threshold for value in reward.score(answers))
    if 2 * right > len(tasks):
        raise ValueError(
            f"the reward calls {right} of {len(tasks)} responses right, and they are there to be repaired: check "
            "--reward-path, --reward-name and --threshold against how the data was made"
        )
    if right:
        print(f"[repair_eval] the reward calls {right} of {len(tasks)} responses right", file=sys.stderr, flush=True)
    return right


def _vllm(settings: EvaluationSettings) -> OpenGenerator:
    options = {"max_model_len": settings.max_model_len, "dtype": settings.dtype, **(settings.engine or {})}
    return lambda model: VLLMGenerator(model, **options)


def _tokenizer(processor: Any) -> PreTrainedTokenizerBase:
    return processor if isinstance(processor, PreTrainedTokenizerBase) else processor.tokenizer


def _placeholder_ids(processor: Any) -> frozenset[int]:
    from verl_df.adapters.policy_training.repair_client import placeholder_ids  # imports verl's rollout: seconds

    return placeholder_ids(processor)
