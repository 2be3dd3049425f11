# SPDX-License-Identifier: Apache-2.0
"""A run whose repair endpoint sends odd things, each counted by a rule, and whose judge hangs in the last step."""

import json
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.e2e.conftest import Run, start_run
from tests.e2e.odd_replies import ALL, OddReplies
from tests.unit.endpoint_fake import MODEL, serve
from verl_df.method.repair import Rejection

STEPS, PROMPTS, ROLLOUTS, SAMPLES = 3, 8, 8, 8
ODD = range(1, STEPS)  # in the last step the judge hangs


def hang_after(folder: Path, replies: OddReplies, step: int) -> None:
    """Have the judge hang as soon as the pairs of this step are written, which is before the next one samples."""
    pairs = folder / "pairs.jsonl"
    while not pairs.exists() or f'"step":{step}' not in pairs.read_text().replace(" ", ""):
        time.sleep(0.02)
    replies.judge_hangs.set()


@pytest.fixture(scope="module")
def odd(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, OddReplies]:
    folder = tmp_path_factory.mktemp("odd") / "run"
    replies = OddReplies(AutoTokenizer.from_pretrained(world / "policy"))
    threading.Thread(target=hang_after, args=(folder, replies, ODD[-1]), daemon=True).start()
    with serve(replies) as server:
        run = start_run(
            world,
            folder,
            "df.repair.model_path=null",
            "df.repair.placement=remote",
            f"df.repair.remote={{base_url:'{server.url}',model:{MODEL},token_ids:False,max_retries:0,timeout_s:5.0}}",
            "df.repair.remote.breaker_failures=100000",  # else good replies are not asked for either
            f"df.repair.n={SAMPLES}",
            "df.reward_manager=df_judge",
            f"df.judge.endpoint={{base_url:'{server.url}',model:{MODEL},max_retries:0,timeout_s:5.0}}",
            "df.log.pairs_per_step=-1",
            "df.log.groups_per_step=-1",
            "trainer.val_before_train=False",
            "trainer.test_freq=-1",
            "trainer.save_freq=-1",
            STEPS=str(STEPS),
            PROMPTS=str(PROMPTS),
            ROLLOUTS=str(ROLLOUTS),
        )
    return run, replies


def test_every_odd_reply_is_counted_by_its_rule(odd: tuple[Run, OddReplies]) -> None:
    run, replies = odd
    assert len(replies.sent) >= 300 and {name for name, _ in replies.sent} == {*ALL}
    expected = replies.expected(SAMPLES)
    found = Counter(reason for pair in run.pairs for reason in pair["rejections"])
    assert found == Counter({reason and reason.value: count for reason, count in expected.items()})
    for reason in Rejection:
        assert sum(run.series(f"df/rejected/{reason}")) == expected[reason]
    assert sum(run.series("df/candidates")) == expected.total()
    assert sum(run.series("df/asked")) == len(run.pairs) == len(replies.sent) / SAMPLES


def test_the_batch_is_what_the_rules_make_of_it(odd: tuple[Run, OddReplies]) -> None:
    """A rollout without a right repair stays in, and no row comes of anything but a right repair."""
    run, _ = odd
    groups = [json.loads(line) for line in (run.folder / "groups.jsonl").read_text().rstrip("\n").split("\n")]
    rollouts = [(group, one) for group in groups for one in group["rollouts"]]
    assert len(rollouts) == STEPS * PROMPTS * ROLLOUTS
    for group, one in rollouts:
        wrong = one["rejections"] is not None
        assert wrong == (group["skip"] is None and one["reward"] == 0)
        assert one["repair_used"] == (one["repair"] is not None) == (wrong and None in one["rejections"])
        assert one["repair"] is None or group["reference"] in one["repair"]
        if wrong:
            assert one["used"]
    used = sum(one["used"] + one["repair_used"] for _, one in rollouts)
    assert used == sum(sum(run.series(f"df/rows/{kind}")) for kind in ("error", "repair", "correct")) > 0


def test_a_judge_that_hangs_costs_its_step_and_is_told(odd: tuple[Run, OddReplies]) -> None:
    run, replies = odd
    last = run.metrics[STEPS]
    assert replies.unjudged > 0 and last["df/error_rate"] == 1 and last["df/skipped/no_correct"] == PROMPTS
    assert [run.metrics[step]["df/skipped_steps"] for step in range(1, STEPS + 1)] == [0, 0, 1]
    assert "1 responses not judged so far (timeout): df.judge.on_failure=wrong" in run.log
    assert "Traceback" not in run.log
