# SPDX-License-Identifier: Apache-2.0
"""What a step of Difference Feedback costs beside the models: before the hot path was made lean, and now, in one call.

    .venv/bin/python scripts/bench/hot_path.py [--prompts 128] [--rollouts 8] [--tokens 1000] [--side 1000]

Half of the rollouts are wrong and repaired. The pictures are SIDE x SIDE pixels, processed as Qwen2.5-VL does (patches
of 14 pixels, 1,176 floats each); pictures and patches travel by pickle, as in TransferQueue.

| figure | what is timed |
| --- | --- |
| read | the trainer fetches rollouts and prompts: the prompt's picture with each rollout, or once a prompt |
| rows | the trainer makes the rows of repairs: with a deep copy of every column, or sharing what stays |
| groups | processor seconds of selecting, aligning, gating, recording, and sending back: a record with the text of every token for each pair, or for the pairs that are kept (df.log.pairs_per_step) |
"""  # noqa: E501

import argparse
import asyncio
import copy
import pickle
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from transformers import AutoTokenizer  # noqa: E402

from verl_df.adapters.policy_training.group_exchange import GroupAnswer, RepairRow  # noqa: E402
from verl_df.adapters.policy_training.rows import repair_row  # noqa: E402
from verl_df.lab.toy.tokenizer import save_processor  # noqa: E402
from verl_df.method.feedback import (  # noqa: E402
    FeedbackConfig,
    GroupRequest,
    GroupResult,
    Judgement,
    Models,
    RepairSample,
    difference_feedback,
)
from verl_df.method.group import Rollout  # noqa: E402
from verl_df.method.records import pair_record  # noqa: E402

PATCH, PATCH_FLOATS = 14, 1176
PROMPT_TOKENS = 1400
KEPT_PAIRS = 16  # df.log.pairs_per_step
AT_A_TIME = 32  # rows held at once: a deep copy of 512 rows would not fit into the memory of a small machine
CONFIG = FeedbackConfig()


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long `work` takes."""
    start = clock()
    work()
    return clock() - start


def picture(side: int) -> Image.Image:
    """Noise, which no compression makes smaller."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


# ---- read ------------------------------------------------------------------------------------------------------------


def read(messages: list[dict], fetched: int) -> None:
    """Take a prompt's messages out of the queue `fetched` times."""
    wire = pickle.dumps(messages, protocol=5)
    for _ in range(fetched):
        pickle.loads(wire)


# ---- rows ------------------------------------------------------------------------------------------------------------


def source_row(side: int, tokens: int, messages: list[dict]) -> dict[str, Any]:
    """A rollout's row as verl's agent loop writes it."""
    patches = round(side / (2 * PATCH)) ** 2 * 4
    ids = torch.randint(0, 1000, (PROMPT_TOKENS + tokens,))
    return {
        "raw_prompt": messages,
        "prompts": ids[:PROMPT_TOKENS],
        "responses": ids[PROMPT_TOKENS:],
        "response_mask": torch.ones(tokens, dtype=torch.int64),
        "loss_mask": torch.ones(tokens, dtype=torch.int64),
        "input_ids": ids,
        "position_ids": torch.arange(len(ids)).expand(4, -1).contiguous(),
        "rm_scores": torch.zeros(tokens),
        "rollout_log_probs": torch.zeros(tokens),
        "multi_modal_inputs": {
            "pixel_values": torch.randn(patches, PATCH_FLOATS),
            "image_grid_thw": torch.tensor([[1, 72, 72]]),
        },
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"index": 0},
        "extra_fields": {"reward_extra_info": {"r_task": 0.0}},
    }


def deep_row(source: dict[str, Any], repair: RepairRow) -> dict[str, Any]:
    """The row of a repair as it was made before: every column copied, then eight of them replaced."""
    return repair_row({name: _copied(value) for name, value in source.items()}, repair)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def make_rows(make: Callable[..., dict], source: dict[str, Any], repair: RepairRow, count: int) -> float:
    """Seconds for `count` rows."""
    total = 0.0
    for start in range(0, count, AT_A_TIME):
        places = range(start, min(count, start + AT_A_TIME))
        begin = time.perf_counter()
        rows = [make(source, repair) for _ in places]
        total += time.perf_counter() - begin
        del rows
    return total


# ---- groups ----------------------------------------------------------------------------------------------------------


def group(number: int, rollouts: int, tokens: int, vocabulary: int) -> tuple[GroupRequest, dict[int, list]]:
    """A prompt half of whose rollouts are wrong, and two repairs for each, by the length of the response."""
    rng = random.Random(number)
    sampled, repairs = [], {}
    for place in range(rollouts):
        ids = [rng.randrange(vocabulary) for _ in range(tokens - place)]  # lengths tell them apart
        sampled.append(Rollout(f"u{number}_{place}_0", tuple(ids), float(place % 2), (True,) * len(ids), True))
        repairs[len(ids)] = []
        for _ in range(2):
            fixed = list(ids)
            for position in rng.sample(range(len(ids)), len(ids) // 10):
                fixed[position] = rng.randrange(vocabulary)
            repairs[len(ids)].append(RepairSample(tuple(fixed), True, False))
    return GroupRequest(f"u{number}", tuple(sampled), "4", str(number)), repairs


class Text(str):
    """A decoded response that remembers how many tokens it has."""

    tokens: int


def models(repairs: dict[int, list], decode: Callable[..., str]) -> Models:
    """The repair model is a table, the judge finds everything right."""

    def decoded(ids: tuple[int, ...]) -> Text:
        text = Text(decode(ids))
        text.tokens = len(ids)
        return text

    async def repair(response: Text, reference: str, seed: str) -> list[RepairSample]:
        return repairs[response.tokens]

    async def judge(ids: tuple[int, ...]) -> Judgement:
        return Judgement(1.0, 1.0)

    return Models(repair, judge, decoded, steps=lambda ids: np.zeros(len(ids)), true_errors=lambda ids: None)


def records(requests: list[GroupRequest], results: list[GroupResult], tokenizer: Any, limit: int | None) -> list:
    """Records of the first pairs, or of all."""
    pairs = [
        (attempt, request) for request, result in zip(requests, results, strict=True) for attempt in result.attempts
    ]
    make = partial(
        pair_record,
        step=1,
        prompt="",
        images=(),
        decode=tokenizer.decode,
        token_texts=lambda ids: [tokenizer.decode([token]) for token in ids],
    )
    return [make(attempt, request) for attempt, request in pairs[:limit]]


def process(groups: list[tuple[GroupRequest, dict]], tokenizer: Any, lean: bool) -> None:
    """All that happens to the groups between the repair model's samples and the trainer's rows."""
    loop = asyncio.new_event_loop()  # asyncio.run formats the result, for signal.signal's error text
    work = (difference_feedback(request, CONFIG, models(repairs, tokenizer.decode)) for request, repairs in groups)
    results = [loop.run_until_complete(one) for one in work]
    loop.close()
    requests = [request for request, _ in groups]
    if lean:
        pickle.loads(pickle.dumps([GroupAnswer.of(result) for result in results], protocol=5))
        records(requests, results, tokenizer, KEPT_PAIRS)
    else:
        made = records(requests, results, tokenizer, None)
        members = [(result.members, result.repair_rewards, result.outcome) for result in results]
        pickle.loads(pickle.dumps((members, made), protocol=5))


# ----------------------------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=1000, help="of a response")
    parser.add_argument("--side", type=int, default=1000, help="of a picture, in pixels")
    given = parser.parse_args()
    repairs = given.prompts * given.rollouts // 2
    content = [{"type": "image", "image": picture(given.side)}, {"type": "text", "text": "How many?"}]
    messages = [{"role": "user", "content": content}]
    source = source_row(given.side, given.tokens, messages)
    ids = np.arange(given.tokens, dtype=np.int64)
    repair = RepairRow("u_0_0", ids, ids >= 0, np.ones(given.tokens, dtype=np.float32), 1.0, 1.0)
    pixels = source["multi_modal_inputs"]["pixel_values"].nbytes / 1e9
    with tempfile.TemporaryDirectory() as folder:
        save_processor(Path(folder), seed=0)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    groups = [group(number, given.rollouts, given.tokens, len(tokenizer)) for number in range(given.prompts)]
    figures = {
        "read": (
            seconds(lambda: read(messages, given.prompts * given.rollouts)),
            seconds(lambda: read(messages, given.prompts)),
        ),
        "rows": (make_rows(deep_row, source, repair, repairs), make_rows(repair_row, source, repair, repairs)),
        "groups": tuple(
            seconds(partial(process, groups, tokenizer, lean), time.process_time) for lean in (False, True)
        ),
    }
    print(
        f"{given.prompts} prompts x {given.rollouts} rollouts of {given.tokens} tokens, {repairs} repairs, "
        f"{pixels * 1e3:.1f} MB of patches a row ({pixels * repairs:.1f} GB copied before)"
    )
    print(f"{'':8}{'before s':>10}{'now s':>10}{'ratio':>8}")
    for name, (before, now) in figures.items():
        print(f"{name:8}{before:10.3f}{now:10.3f}{before / now:8.1f}")


if __name__ == "__main__":
    main()
