# SPDX-License-Identifier: Apache-2.0
"""The task of repairs: repair models, the two baselines, and answers without the image."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import PreTrainedTokenizerBase

from verl_df.io.pictures import PATCH_SIZE
from verl_df.lab.engine import Decoding, Judged, SampleFile, answer_to, judged
from verl_df.lab.eval.repairs.finished import RepairFolder
from verl_df.lab.eval.repairs.records import FULL, HIDDEN, SAMPLES, SHOWN, SampleRecord, TaskRecord
from verl_df.lab.eval.repairs.settings import AGAIN, COPY, RepairSettings
from verl_df.lab.eval.repairs.tasks import RepairTask, RepairTasks, read_tasks
from verl_df.lab.generation import Generator, Request, Response, VLLMGenerator, load_processor
from verl_df.lab.rl_data import Prompt
from verl_df.lab.task_reward import TaskReward, load_function
from verl_df.method.image_removal import remove_image
from verl_df.prompts import HIDDEN_REFERENCE, load_template
from verl_df.prompts.messages import repair_messages

OpenGenerator = Callable[[str], AbstractContextManager[Generator]]
Truth = Callable[[Sequence[int], dict[str, Any], PreTrainedTokenizerBase], Any]
_SEED_GAP = 1_000_000  # between the seeds of the conditions, so that they share no random stream


def run_repairs(settings: RepairSettings, out: Path, open_generator: OpenGenerator | None = None) -> None:
    """Evaluate and write settings, tasks and samples into `out`; goes on where an earlier run was ended.

    Everything that can be wrong is checked before the first model is loaded into the engine.

    Args:
        settings: what to evaluate, and how.
        out: a folder without a finished evaluation.
        open_generator: opens a model; None: vLLM's offline engine.

    Raises:
        FileNotFoundError: data or template is missing.
        ValueError: anything else that is wrong; the message says where.
    """
    folder = RepairFolder(out)
    folder.check_unfinished()
    data = read_tasks(Path(settings.data), settings.limit)
    template = load_template(Path(settings.prompt_template)) if settings.prompt_template else None
    methods = _by_model(settings)
    processors = {model: load_processor(model) for model in methods}
    tokenizers = {model: getattr(processor, "tokenizer", processor) for model, processor in processors.items()}
    for model, tokenizer in tokenizers.items():
        _check_tokenizer(data.tasks, tokenizer, model)
    reward = TaskReward(settings.reward_path, settings.reward_name, settings.reward_workers)
    right = _count_right(data.tasks, reward, settings.threshold)
    truth = load_function(settings.truth_path, settings.truth_name) if settings.truth_path else None
    first = next(iter(settings.repair.values()))
    max_tokens = settings.max_tokens or 2 * max(len(task.record.response_ids) for task in data.tasks)
    kept = asdict(settings) | {"max_tokens": max_tokens, "rows": len(data.tasks), "rows_judged_right": right}
    records = _records(data.tasks, truth, tokenizers[first])
    placeholders = _placeholder_ids(processors[first])
    folder.keep(kept, records)
    sampled = Decoding(settings.n, settings.temperature, settings.top_p, max_tokens)
    size, opened = {"sampled": settings.n, "greedy": 1, "copy": 1}, open_generator or _vllm(settings)
    with SampleFile(folder.growing, SAMPLES, lambda sample: size[sample.decoding]) as file:
        repairs = _Repairs(settings, sampled, data, reward, template, placeholders, file)
        repairs.copy_reference(tokenizers[first])
        for model, names in methods.items():
            with ExitStack() as stack:
                # opened by the first task that is left, if any
                generator = cache(lambda stack=stack, model=model: stack.enter_context(opened(model)))
                for name in names:
                    print(f"[repair_eval] {name}: {model}, {len(data.tasks)} responses", flush=True)
                    repairs.run_method(name, generator)
    folder.growing.rename(folder.samples)


@dataclass(frozen=True)
class _Pass:
    """A method with one decoding (by name, and what it is), under one condition and seed."""

    method: str
    name: str
    condition: str
    seed: int
    decoding: Decoding

    @property
    def own_seed(self) -> int:
        """Of the random draws."""
        return self.seed + _SEED_GAP * (FULL, HIDDEN, SHOWN).index(self.condition)

    def unit(self, task: RepairTask) -> tuple[str, str, str, int, str]:
        """As the samples of the task are kept."""
        return self.method, self.name, self.condition, self.seed, task.id


@dataclass(frozen=True)
class _Repairs:
    """Runs methods over the tasks; every sample goes to the file."""

    settings: RepairSettings
    sampled: Decoding
    data: RepairTasks
    reward: TaskReward
    template: str | None
    placeholders: frozenset[int]
    file: SampleFile[SampleRecord]

    def run_method(self, method: str, generator: Callable[[], Generator]) -> None:
        """A repair model, ŷ ~ p(· | x, y, a), or the policy on x alone; right answers again without the image.

        The policy shows what a repair is worth that never looks at y. A repair model is asked without the image twice,
        the reference hidden and shown.
        """
        decodings = {"sampled": (self.sampled, self.settings.seeds)}
        if self.settings.greedy:
            decodings["greedy"] = (Decoding(1, 0.0, self.sampled.top_p, self.sampled.max_tokens), 1)
        for name, (decoding, seeds) in decodings.items():
            for seed in range(self.settings.seed, self.settings.seed + seeds):
                full = _Pass(method, name, FULL, seed, decoding)
                right = self._run(full, self.data.tasks, generator)
                seen = [task for task in right if task.images] if self.settings.image_removal else []
                for condition in (HIDDEN,) if method == AGAIN else (HIDDEN, SHOWN):
                    self._run(replace(full, condition=condition), seen, generator)

    def copy_reference(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """The sibling, word for word, with an end token; a bare answer cannot be copied."""
        siblings = [task for task in self.data.tasks if task.record.reference_kind == "sibling"]
        copier = _Copier(tokenizer)
        self._run(_Pass(COPY, "copy", FULL, self.settings.seed, Decoding(1, 0.0, 1.0, 1)), siblings, lambda: copier)

    def _run(self, one: _Pass, tasks: Sequence[RepairTask], generator: Callable[[], Generator]) -> list[RepairTask]:
        """Sample what is left of a pass; returns the tasks with a right sample."""
        left = [task for task in tasks if one.unit(task) not in self.file.done]
        if left:
            model = generator()
            asked = self._requests(one, tasks, left, model.patch_size)
            for chunk in judged(asked, model, one.decoding, one.own_seed, self.reward):
                self.file.append([self._record(one, answer) for own in chunk for answer in own])
        return [task for task in tasks if self.file.done[one.unit(task)] >= self.settings.threshold]

    def _requests(
        self, one: _Pass, tasks: Sequence[RepairTask], left: Sequence[RepairTask], patch_size: int
    ) -> Iterator[tuple[RepairTask, Request]]:
        """What is left, numbered by its place among all tasks of the pass: a run that goes on draws the same."""
        places = {task.id: place for place, task in enumerate(tasks)}
        for task, prompt in self.data.prompts(left):
            yield task, Request(*self._asked(one, task, prompt, patch_size), places[task.id])

    def _asked(
        self, one: _Pass, task: RepairTask, prompt: Prompt, patch_size: int
    ) -> tuple[list[dict[str, Any]], list[Image.Image]]:
        """Messages and images."""
        if one.method == COPY:
            return [{"role": "user", "content": task.record.reference}], []
        images = prompt.pictures(patch_size)
        if one.condition != FULL:
            noise, kind = int(task.record.prompt_id[:8], 16), str(self.settings.image_removal)
            images = [remove_image(image, kind, noise + place) for place, image in enumerate(images)]
        if one.method == AGAIN:
            return prompt.messages, images
        reference = HIDDEN_REFERENCE if one.condition == HIDDEN else task.record.reference
        return repair_messages(prompt.messages, task.record.response, reference, self.template), images

    def _record(self, one: _Pass, answer: Judged[RepairTask]) -> SampleRecord:
        response = answer.response
        return SampleRecord(
            task_id=answer.row.id,
            method=one.method,
            decoding=one.name,  # type: ignore[arg-type]
            condition=one.condition,  # type: ignore[arg-type]
            seed=one.seed,
            sample=answer.number,
            token_ids=response.token_ids,
            text=response.text,
            finished=response.finished,
            contains_placeholder=not self.placeholders.isdisjoint(response.token_ids),
            reward=answer.score,
        )


@dataclass(frozen=True)
class _Copier:
    """A `Generator` that repeats what it is given."""

    tokenizer: PreTrainedTokenizerBase
    patch_size: int = PATCH_SIZE  # of pictures that it never gets

    def generate(self, requests: Sequence[Request], **decoding: Any) -> list[list[Response]]:
        return [[self._copy(request.messages[0]["content"])] for request in requests]

    def failures(self) -> str:
        return ""

    def _copy(self, text: str) -> Response:
        ids = (*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id)
        return Response(ids, text, True)


def _by_model(settings: RepairSettings) -> dict[str, list[str]]:
    """Names of the methods of each model, so that none is loaded twice."""
    methods: dict[str, list[str]] = {}
    for name, model in settings.repair.items():
        methods.setdefault(model, []).append(name)
    if settings.policy is not None:
        methods.setdefault(settings.policy, []).append(AGAIN)
    return methods


def _records(tasks: Sequence[RepairTask], truth: Truth | None, tokenizer: PreTrainedTokenizerBase) -> list[TaskRecord]:
    """The tasks as they are kept. Raises: ValueError for a true mask of another length than the response."""
    records = []
    for task in tasks:
        ids = task.record.response_ids
        mask = None if truth is None else truth(ids, task.extra_info, tokenizer)
        if mask is not None and len(mask) != len(ids):
            raise ValueError(
                f"row {task.index}: the truth function marked {len(mask)} tokens of {len(ids)}: it must return one "
                "bool per token, or None"
            )
        records.append(replace(task.record, truth_mask=None if mask is None else tuple(map(int, mask))))
    return records


def _check_tokenizer(tasks: Sequence[RepairTask], tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Refuse a model whose tokenizer does not read the policy's tokens: distances would compare different alphabets.

    Single responses may decode otherwise (a cut multi-byte character), so it takes more than half of them.
    """
    records = [task.record for task in tasks]
    different = sum(
        tokenizer.decode(list(one.response_ids), skip_special_tokens=True).strip() != one.response.strip()
        for one in records
    )
    if 2 * different > len(tasks):
        raise ValueError(
            f"{model}: its tokenizer decodes {different} of {len(tasks)} response_ids to another text than `response`; "
            "a repair model must have the tokenizer of the policy that wrote the responses"
        )


def _count_right(tasks: Sequence[RepairTask], reward: TaskReward, threshold: float) -> int:
    """How many of the responses y the reward calls right: none should be, and a judge may waver on a few.

    Raises:
        ValueError: more than half; the reward or the threshold is not the one that the data was made with.
    """
    right = sum(value >= threshold for value in reward.score([answer_to(task, task.record.response) for task in tasks]))
    if 2 * right > len(tasks):
        raise ValueError(
            f"the reward calls {right} of {len(tasks)} responses right, and they are there to be repaired: check "
            "--reward-path, --reward-name and --threshold against how the data was made"
        )
    if right:
        print(f"[repair_eval] the reward calls {right} of {len(tasks)} responses right", file=sys.stderr, flush=True)
    return right


def _vllm(settings: RepairSettings) -> OpenGenerator:
    options = {"max_model_len": settings.max_model_len, "dtype": settings.dtype, **(settings.engine or {})}
    return lambda model: VLLMGenerator(model, **options)


def _placeholder_ids(processor: Any) -> frozenset[int]:
    from verl_df.adapters.policy_training.repair_client import placeholder_ids  # imports verl's rollout: seconds

    return placeholder_ids(processor)
