# SPDX-License-Identifier: Apache-2.0
"""`sample`: the policy's wrong responses with a right reference, from a data file."""

from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from verl_df.io.files import whole_path, write_json
from verl_df.io.streams import batches
from verl_df.lab.generation import Generator, Request, Response
from verl_df.lab.repair_data.choose import PromptCount, judge_group, settle
from verl_df.lab.repair_data.folder import SetFolder
from verl_df.lab.repair_data.settings import SampleSettings
from verl_df.lab.repair_data.store import SampleStore
from verl_df.lab.repair_data.summary import summarise
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
) -> dict[str, float | None]:
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

    Returns:
        the counts of the whole set, see `summarise`.

    Raises:
        ValueError: a row that cannot be used, before anything is sampled; or a reward outside [0, 1], what is
            finished stays.
    """
    store = SampleStore(folder)
    chosen = data.choose(prompts, settings.seed)
    open_rows = {int(index) for index in chosen if int(index) not in store.counts}
    data.check(open_rows, preferred=settings.reference == "preferred")
    worker = _Worker(settings, generator, reward)
    bar = tqdm(total=len(chosen), initial=len(chosen) - len(open_rows), desc="sampling the policy", unit="prompt")
    with bar:
        for part in batches(data.prompts(open_rows), batch):
            if limit is not None and store.kept >= limit:
                break
            store.append(worker.run(part))
            bar.update(len(part))
            bar.set_postfix_str(f"{store.kept} kept")
    summary = summarise(store.counts.values())
    write_json(folder.summary, summary)
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
        requests = [Request(prompt.messages, prompt.pictures(self._generator.patch_size)) for prompt in prompts]
        seed = self._seed(prompts, _ROLLOUT)
        responses = self._generate(requests, self._settings.per_prompt, seed)
        rewards = self._judge(prompts, responses)
        groups = [
            judge_group(prompt, own, scores, self._settings)
            for prompt, own, scores in zip(prompts, responses, rewards, strict=True)
        ]
        # of prompts without anything to keep, the answer to x_∅ would change nothing
        text_rewards = self._text_only([prompt for prompt, group in zip(prompts, groups, strict=True) if group[0]])
        return [
            (prompt, *settle(prompt, *group, text_rewards.get(prompt.index, []), self._settings))
            for prompt, group in zip(prompts, groups, strict=True)
        ]

    def _text_only(self, prompts: Sequence[Prompt]) -> dict[int, list[float]]:
        """r_task of K responses to x_∅, by row number. An unfinished response counts as wrong."""
        if not prompts or not self._settings.text_only_samples:
            return {}
        requests = [Request(prompt.messages, self._removed(prompt)) for prompt in prompts]
        responses = self._generate(requests, self._settings.text_only_samples, self._seed(prompts, _TEXT_ONLY))
        rewards = self._judge(prompts, responses)
        return {prompt.index: [score or 0.0 for score in own] for prompt, own in zip(prompts, rewards, strict=True)}

    def _removed(self, prompt: Prompt) -> list[Image.Image]:
        kind, first = self._settings.image_removal, prompt.index << 8
        pictures = prompt.pictures(self._generator.patch_size)
        return [remove_image(image, kind, first + number) for number, image in enumerate(pictures)]

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
        """Seed of a batch, by its first row: a run that goes on does not repeat the random numbers of the first."""
        words = np.random.SeedSequence([self._settings.seed, prompts[0].index, stream]).generate_state(1)
        return int(words[0]) >> 2  # 30 bits: the generator widens it for each request
