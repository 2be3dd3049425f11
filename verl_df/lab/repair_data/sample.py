# SPDX-License-Identifier: Apache-2.0
"""`sample`: the policy's wrong responses with a right reference, from a data file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from verl_df.io.files import whole_path, write_json
from verl_df.lab.generation import Generator, Request, Response
from verl_df.lab.repair_data.choose import Group, PromptCount, judge_group, settle
from verl_df.lab.repair_data.folder import SampleSettings, SetFolder
from verl_df.lab.repair_data.store import SampleStore
from verl_df.lab.repair_data.summary import Summary, summarise
from verl_df.lab.rl_data import Prompt, RLData
from verl_df.lab.task_reward import Answer, TaskReward
from verl_df.method.image_removal import remove_image

# The random streams of one seed: responses to x, and to x_∅.
_ROLLOUT, _TEXT_ONLY = 0, 1


def sample_set(
    folder: SetFolder,
    data: RLData,
    settings: SampleSettings,
    generator: Generator,
    reward: TaskReward,
    *,
    prompts: int | None = None,
    limit: int | None = None,
    batch: int = 128,
) -> Summary:
    """Fill a set, or go on with one that was interrupted.

    Args:
        folder: where to; its settings were kept with `prepare`.
        data: RL rows.
        settings: the rules.
        generator: the policy.
        reward: r_task.
        prompts: rows to sample, drawn uniformly; None: all. More than in an earlier run: the others are added.
        limit: stop after the batch that brings the set to this many samples; None: no limit.
        batch: prompts at a time; what a kill loses.

    Raises:
        ValueError: a row that cannot be used, before anything is sampled; or a reward outside [0, 1], what is
            finished stays.
    """
    store = SampleStore(folder)
    chosen = data.choose(prompts, settings.seed)
    open_rows = {int(index) for index in chosen if int(index) not in store.counts}
    data.check(open_rows)
    worker = _Worker(settings, generator, reward)
    bar = tqdm(total=len(chosen), initial=len(chosen) - len(open_rows), desc="sampling the policy", unit="prompt")
    with bar:
        for part in _batches(data.prompts(open_rows), batch):
            if limit is not None and store.kept >= limit:
                break
            store.append(worker.run(part))
            bar.update(len(part))
            bar.set_postfix_str(f"{store.kept} kept")
    summary = summarise(store.counts.values())
    write_json(folder.summary, asdict(summary))
    return summary


def prepare(folder: SetFolder, data: RLData, settings: SampleSettings) -> None:
    """Keep the settings and the types of the data's columns. Raises: ValueError if the set has other settings."""
    folder.keep_settings(settings)
    if not folder.columns.exists():
        with whole_path(folder.columns) as path:
            pq.write_table(data.schema.empty_table(), path)


class _Worker:
    """Samples, judges and filters one batch of prompts."""

    def __init__(self, settings: SampleSettings, generator: Generator, reward: TaskReward) -> None:
        self._settings, self._generator, self._reward = settings, generator, reward

    def run(self, prompts: Sequence[Prompt]) -> list[tuple[Prompt, list, PromptCount]]:
        requests = [Request(prompt.messages, prompt.pictures()) for prompt in prompts]
        seed = self._seed(prompts, _ROLLOUT)
        responses = self._generate(requests, self._settings.per_prompt, seed)
        rewards = self._judge(prompts, responses)
        groups = [
            judge_group(prompt, own, scores, self._settings)
            for prompt, own, scores in zip(prompts, responses, rewards, strict=True)
        ]
        text_rewards = self._text_only(prompts, requests, groups)
        settled = [
            settle(prompt, group, text_rewards.get(prompt.index, []), self._settings)
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        return [(prompt, *outcome) for prompt, outcome in zip(prompts, settled, strict=True)]

    def _text_only(
        self, prompts: Sequence[Prompt], requests: Sequence[Request], groups: Sequence[Group]
    ) -> dict[int, list[float]]:
        """r_task of K responses to x_∅, by row number, of the prompts that have something to keep: for the others the
        answer would change nothing. An unfinished response counts as wrong."""
        asked = [
            (prompt, request) for prompt, request, group in zip(prompts, requests, groups, strict=True)
            if group.candidates
        ]  # fmt: skip
        if not asked or not self._settings.text_only_samples:
            return {}
        removed = [self._removed(prompt, request) for prompt, request in asked]
        chosen = [prompt for prompt, _ in asked]
        responses = self._generate(removed, self._settings.text_only_samples, self._seed(chosen, _TEXT_ONLY))
        rewards = self._judge(chosen, responses)
        return {prompt.index: [score or 0.0 for score in own] for prompt, own in zip(chosen, rewards, strict=True)}

    def _removed(self, prompt: Prompt, request: Request) -> Request:
        kind, first = self._settings.image_removal, prompt.index << 8
        images = [remove_image(image, kind, first + number) for number, image in enumerate(request.images)]
        return Request(request.messages, images)

    def _generate(self, requests: Sequence[Request], n: int, seed: int) -> list[list[Response]]:
        settings = self._settings
        return self._generator.generate(
            requests,
            n=n,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=seed,
        )

    def _judge(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[float | None]]:
        """r_task of every finished response, None for the others, judged together."""
        pairs = list(zip(prompts, responses, strict=True))
        answers = [
            Answer(prompt.data_source, one.text, prompt.ground_truth, prompt.extra_info)
            for prompt, own in pairs
            for one in own
            if one.finished
        ]
        scores = iter(self._reward.score(answers))
        return [[next(scores) if one.finished else None for one in own] for _, own in pairs]

    def _seed(self, prompts: Sequence[Prompt], stream: int) -> int:
        """Of a batch, from its first row: a run that goes on does not repeat the random numbers of the first one."""
        words = np.random.SeedSequence([self._settings.seed, prompts[0].index, stream]).generate_state(1)
        return int(words[0]) >> 2  # 30 bits: the generator widens it for each request


def _batches(prompts: Iterable[Prompt], size: int) -> Iterator[list[Prompt]]:
    remaining = iter(prompts)
    while part := list(islice(remaining, size)):
        yield part
