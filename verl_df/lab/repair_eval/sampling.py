# SPDX-License-Identifier: Apache-2.0
"""Generates and judges the samples of an evaluation: repairs, the two baselines, and answers without the image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from verl_df.lab.generation import Generator, Request, Response
from verl_df.lab.repair_eval.records import FULL, HIDDEN, SHOWN, SampleRecord, TaskRecord
from verl_df.lab.repair_eval.tasks import RepairTask
from verl_df.lab.task_reward import Answer, TaskReward
from verl_df.method.image_removal import remove_image
from verl_df.prompts import HIDDEN_REFERENCE
from verl_df.prompts.messages import repair_messages

AGAIN, COPY = "answer again", "copy the reference"
_SEED_GAP = 1_000_000  # between the seeds of the conditions, so that they share no random stream
Truth = Callable[[Sequence[int], dict[str, Any], PreTrainedTokenizerBase], Any]


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn.

    n, temperature, top_p, max_tokens: of each sampling. seeds: one sampling of everything for each. greedy: one greedy
    sample more. image_removal: "blank", "noise", or None for no counterfactual. threshold: tau_r. template: text of
    the repair prompt, None: the packaged one.
    """

    n: int
    temperature: float
    top_p: float
    max_tokens: int
    seeds: tuple[int, ...]
    greedy: bool
    image_removal: str | None
    threshold: float
    template: str | None

    def decodings(self) -> Iterator[tuple[str, "Sampling"]]:
        """Each decoding with the settings that it is run with."""
        yield "sampled", self
        if self.greedy:
            yield "greedy", replace(self, n=1, temperature=0.0, seeds=self.seeds[:1])


class Sampler:
    """Runs methods over the tasks and hands every sample to `keep`.

    Args:
        tasks: what is to be repaired.
        reward: r_task.
        tokenizer: of the policy, the same as the repair models'.
        placeholder_ids: token ids that stand for image features.
        keep: takes each record.
    """

    def __init__(
        self,
        tasks: Sequence[RepairTask],
        sampling: Sampling,
        reward: TaskReward,
        tokenizer: PreTrainedTokenizerBase,
        placeholder_ids: frozenset[int],
        keep: Callable[[SampleRecord], None],
    ) -> None:
        self._tasks, self._sampling, self._reward = tasks, sampling, reward
        self._tokenizer, self._placeholder_ids, self._keep = tokenizer, placeholder_ids, keep

    def repair(self, method: str, generator: Generator) -> None:
        """A repair model, y-hat ~ p(. | x, y, a), and the same without the image, the reference hidden and shown."""
        for decoding, sampling in self._sampling.decodings():
            for seed in sampling.seeds:
                run = _Run(self, method, decoding, sampling, seed, generator)
                right = run.generate(FULL, self._tasks)
                run.generate(HIDDEN, right)
                run.generate(SHOWN, right)

    def answer_again(self, generator: Generator) -> None:
        """The policy on x alone, and without the image: what a repair is worth that never looks at y."""
        for decoding, sampling in self._sampling.decodings():
            for seed in sampling.seeds:
                run = _Run(self, AGAIN, decoding, sampling, seed, generator)
                run.generate(HIDDEN, run.generate(FULL, self._tasks))

    def copy_reference(self) -> None:
        """The sibling, word for word, with an end token; a bare answer cannot be copied."""
        siblings = [task for task in self._tasks if task.reference_kind == "sibling"]
        copies = [[self._copy(task)] for task in siblings]
        self.judge(COPY, "copy", FULL, self._sampling.seeds[0], siblings, copies)

    def _copy(self, task: RepairTask) -> Response:
        ids = [*self._tokenizer.encode(task.reference, add_special_tokens=False), self._tokenizer.eos_token_id]
        return Response(tuple(ids), task.reference, True)

    def judge(
        self,
        method: str,
        decoding: str,
        condition: str,
        seed: int,
        tasks: Sequence[RepairTask],
        responses: Sequence[Sequence[Response]],
    ) -> list[RepairTask]:
        """Score and keep; returns the tasks with a right sample."""
        pairs = [
            (task, sample, one) for task, own in zip(tasks, responses, strict=True) for sample, one in enumerate(own)
        ]
        rewards = self._reward.score(
            [Answer(task.data_source, one.text, task.ground_truth, task.extra_info) for task, _, one in pairs]
        )
        right = set()
        for (task, sample, one), reward in zip(pairs, rewards, strict=True):
            if reward >= self._sampling.threshold:
                right.add(task.task_id)
            self._keep(
                SampleRecord(
                    task_id=task.task_id,
                    method=method,
                    decoding=decoding,
                    condition=condition,
                    seed=seed,
                    sample=sample,
                    token_ids=tuple(one.token_ids),
                    text=one.text,
                    finished=one.finished,
                    contains_placeholder=not self._placeholder_ids.isdisjoint(one.token_ids),
                    reward=reward,
                )
            )
        return [task for task in tasks if task.task_id in right]


@dataclass(frozen=True)
class _Run:
    """One method under one seed."""

    sampler: Sampler
    method: str
    decoding: str
    sampling: Sampling
    seed: int
    generator: Generator

    def generate(self, condition: str, tasks: Sequence[RepairTask]) -> list[RepairTask]:
        """Samples under one condition; returns the tasks with a right one."""
        if condition != FULL:
            tasks = [task for task in tasks if task.images] if self.sampling.image_removal else []
        if not tasks:
            return []
        responses = self.generator.generate(
            [self._request(task, condition) for task in tasks],
            n=self.sampling.n,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            max_tokens=self.sampling.max_tokens,
            seed=self.seed + _SEED_GAP * (FULL, HIDDEN, SHOWN).index(condition),
        )
        return self.sampler.judge(self.method, self.decoding, condition, self.seed, tasks, responses)

    def _request(self, task: RepairTask, condition: str) -> Request:
        images = task.pictures()
        if condition != FULL:
            noise = int(task.prompt_id[:8], 16)
            kind = str(self.sampling.image_removal)
            images = [remove_image(image, kind, noise + number) for number, image in enumerate(images)]
        if self.method == AGAIN:
            return Request(task.messages, images)
        reference = HIDDEN_REFERENCE if condition == HIDDEN else task.reference
        return Request(repair_messages(task.messages, task.response, reference, self.sampling.template), images)


def task_records(
    tasks: Sequence[RepairTask], truth: Truth | None, tokenizer: PreTrainedTokenizerBase
) -> list[TaskRecord]:
    """The tasks as they are kept, with the true error mask where a truth function is given.

    Raises:
        ValueError: a mask of another length than the response.
    """
    records = []
    for number, task in enumerate(tasks):
        mask = None if truth is None else truth(task.response_ids, task.extra_info, tokenizer)
        if mask is not None and len(mask) != len(task.response_ids):
            raise ValueError(
                f"row {number}: the truth function marked {len(mask)} tokens of {len(task.response_ids)}: it must "
                "return one bool per token, or None"
            )
        records.append(
            TaskRecord(
                task_id=task.task_id,
                prompt_id=task.prompt_id,
                reference_kind=task.reference_kind,
                question=task.messages[-1]["content"],
                ground_truth=str(task.ground_truth),
                reference=task.reference,
                response=task.response,
                response_ids=task.response_ids,
                truth_mask=None if mask is None else tuple(int(value) for value in mask),
            )
        )
    return records


def check_tokenizer(tasks: Sequence[RepairTask], tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Refuse a model whose tokenizer does not read the policy's tokens: distances would compare different alphabets.

    Single responses may decode otherwise (a cut multi-byte character), so it takes more than half of them.

    Raises:
        ValueError: more than half of the responses decode to another text.
    """
    different = sum(
        tokenizer.decode(list(task.response_ids), skip_special_tokens=True).strip() != task.response.strip()
        for task in tasks
    )
    if 2 * different > len(tasks):
        raise ValueError(
            f"{model}: its tokenizer decodes {different} of {len(tasks)} response_ids to another text than `response`; "
            "a repair model must have the tokenizer of the policy that wrote the responses"
        )
