# SPDX-License-Identifier: Apache-2.0
"""A small run folder, with texts that would be markup where they were not kept as texts."""

import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from verl_df.method.alignment import align
from verl_df.method.group import SkipReason
from verl_df.method.group_records import GROUPS, GROUPS_FILE, GroupRecord, RolloutRecord
from verl_df.method.records import PAIRS, PairRecord, TokenSide
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE, TokenArrays, UpdateSide

HOSTILE = "</script><img src=x onerror=\"document.title='run'\"> \u202e & 'q'"
WORDS = ["a", " b", " c.", "\n", " 7", "\n\n", "é", HOSTILE]


def side(ids: list[int], mask: np.ndarray, reward: float) -> TokenSide:
    return TokenSide.from_arrays(ids, [WORDS[token] for token in ids], mask, mask.astype(float), reward)


def record(number: int) -> PairRecord:
    """Every third is not feasible; every second has a known truth; pairs of a prompt have following numbers."""
    rng = random.Random(number)
    y = [rng.randrange(len(WORDS)) for _ in range(12)]
    repair = [*y[:3], (y[3] + 1) % len(WORDS), *y[4:], 0]
    feasible = number % 3 > 0
    found = align(y, repair)
    return PairRecord(
        step=1 + number // 4,
        uid=f"prompt-{number // 2}",
        prompt=f"How many are {number}? {HOSTILE}",
        images=("cat.png",),
        ground_truth=str(number),
        reference="It is 7.",
        reference_kind="sibling",
        error=side(y, found.error_mask if feasible else np.ones(12, dtype=bool), 0.0),
        repair=side(repair, found.repair_mask, 1.0) if feasible else None,
        edit_distance=found.distance if feasible else None,
        edit_ratio=found.edit_ratio if feasible else None,
        truth_mask=tuple(int(t in (2, 3)) for t in range(12)) if number % 2 else None,
        rejections=("wrong", None) if feasible else ("wrong", "unfinished"),
        key=f'prompt-{number // 2} "é"_{number}_0',
    )


def update_side(length: int, advantage: float) -> UpdateSide:
    """Gated on the token 3 alone, which is clipped; the token 5 is a tool's."""
    gate = tuple(float(t == 3) for t in range(length))
    return UpdateSide(
        trained=tuple(int(t != 5) for t in range(length)),
        advantage=(advantage,) * length,
        weight=gate,
        gated_advantage=tuple(advantage * one for one in gate),
        old_log_prob=(-0.5,) * length,
        rollout_log_prob=None,
        log_prob=tuple(-0.25 if one else -0.5 for one in gate),
        ratio=tuple(1.284 if one else 1.0 for one in gate),
        clipped=tuple(int(one) for one in gate),
        entropy=(0.75,) * length,
        ref_kl=None,
    )


def token_arrays(number: int) -> TokenArrays:
    one = record(number)
    repair = None if one.repair is None else update_side(len(one.repair.token_ids), 0.625)
    return TokenArrays(one.step, one.key, update_side(len(one.error.token_ids), -0.625), repair)


def group(number: int) -> GroupRecord:
    """Of prompt `number`: a right rollout, and the errors of its two pairs; every second one was skipped."""
    one, skipped = record(2 * number), number % 2 == 1
    right = RolloutRecord("r_0_0", f"It is 7. {HOSTILE}", 5, 1.0, True, not skipped, 1.0, None, None, None, False)
    errors = [
        RolloutRecord(
            key=pair.key,
            text="".join(pair.error.tokens),
            tokens=12,
            reward=0.0,
            finished=False,
            used=not skipped,
            gated=0.25,
            rejections=None if skipped else pair.rejections,
            repair=None if skipped or pair.repair is None else "".join(pair.repair.tokens),
            repair_reward=None if skipped or pair.repair is None else 1.0,
            repair_used=not skipped and pair.repair is not None,
            candidates=() if skipped else (f"Rejected. {HOSTILE}", None if pair.repair else "It is 5 and"),
        )
        for pair in (one, record(2 * number + 1))
    ]
    reference = (None, None) if skipped else (one.reference, one.reference_kind)
    skip = SkipReason.NO_CORRECT.value if skipped else None
    rollouts = (right, *errors)
    return GroupRecord(one.step, one.uid, one.prompt, one.images, one.ground_truth, *reference, skip, rollouts)


def write_run(folder: Path, pairs: int = 12) -> Path:
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (5, 4), (200, 10, 10)).save(folder / "images" / "cat.png")
    PAIRS.write(folder / "pairs.jsonl", map(record, range(pairs)))
    TOKEN_ARRAYS.write(folder / TOKEN_ARRAYS_FILE, map(token_arrays, (0, 1)))
    GROUPS.write(folder / GROUPS_FILE, map(group, range(4)))
    lines = []
    for step in range(12):
        values = {"df/repair_feasible_rate": 0.9 - 0.05 * step, "df/rejected/wrong": 2.0, "df/skipped/all_correct": 1.0}
        lines.append(json.dumps({"step": step, "data": values | {"actor/entropy": 0.5, "own/metric": step}}) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
