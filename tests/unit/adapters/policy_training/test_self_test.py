# SPDX-License-Identifier: Apache-2.0
"""What a repair engine elsewhere must show before training."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.adapters.support import Words
from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow
from verl_df.adapters.policy_training.placement import Probe
from verl_df.adapters.policy_training.self_test import (
    COPIES,
    ERRORS,
    SelfTestError,
    made_up_errors,
    run_self_test,
    spread,
)
from verl_df.judges.failures import EndpointFailure, FailureReason
from verl_df.method.feedback import FeedbackConfig, Judgement, Models, RepairSample, difference_feedback
from verl_df.settings.config import RepairConfig

ANSWERS = ("3", "4", "4", "5")


class BoxedWords(Words):
    """Also encodes."""

    def __init__(self) -> None:
        super().__init__(["The", "answer", "is", *(f"\\boxed{{{answer}}}." for answer in ANSWERS)])

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return list(self.ids(text)[:-1])


WORDS = BoxedWords()
ROWS = [
    {
        "raw_prompt": [{"role": "user", "content": f"Question {place}?"}],
        "data_source": "t",
        "reward_model": {"ground_truth": answer},
        "extra_info": {},
        "index": place,
    }
    for place, answer in enumerate(ANSWERS)
]
REPAIR = RepairConfig(placement="dedicated", model_path="m", n=1, temperature=0.0, self_test_tolerance=0.01)


class Engine:
    """A connection and a model. probes: log-probabilities of its answers, in turn, after the first question's."""

    def __init__(self, probes: Sequence[Probe] = (), failure: Exception | None = None) -> None:
        self.probes, self.failure, self.asked = list(probes), failure, 0

    def open(self, repair: RepairConfig, max_concurrency: int) -> "Engine":
        assert max_concurrency == COPIES
        return self

    async def probe(self, messages: list[dict[str, Any]]) -> Probe:
        if self.failure:
            raise self.failure
        self.asked += 1
        return self.probes[(self.asked - 2) % len(self.probes)] if self.asked > 1 else Probe(("5",), (-0.1,))


class Stream:
    """Answers groups in this process, with the method itself. repairs: whether the model gives the right answer."""

    def __init__(self, repairs: bool) -> None:
        self.repairs, self.rows = repairs, {}

    def add(self, row: GroupRow) -> None:
        self.rows[row.request.uid] = row

    def collect(self, uids: Sequence[str]) -> tuple[list[GroupRow], list[GroupAnswer], dict]:
        return list(self.rows.values()), [asyncio.run(self._answer(self.rows[uid])) for uid in uids], {}

    async def _answer(self, row: GroupRow) -> GroupAnswer:
        async def repair(response: str, reference: str, seed: str) -> list[RepairSample]:
            return [RepairSample(WORDS.ids(reference if self.repairs else response), True, False)]

        async def judge(token_ids: Sequence[int]) -> Judgement:
            right = float(f"{{{row.request.answer}}}" in WORDS.decode(token_ids))
            return Judgement(right, right)

        models = Models(repair, judge, WORDS.decode, lambda ids: [0] * len(ids), lambda ids: None)
        return GroupAnswer.of(await difference_feedback(row.request, FeedbackConfig(), models))


def steady(*log_probs: float, tokens: str = "ab") -> Probe:
    return Probe(tuple(tokens), log_probs)


def run(engine: Engine, repairs: bool = True, rows: Sequence[dict] = ROWS) -> None:
    run_self_test(engine, Stream(repairs), REPAIR, rows, WORDS)


def test_an_engine_that_answers_alike_and_repairs_passes() -> None:
    engine = Engine([steady(-0.5, -1.0), steady(-0.505, -1.0)])
    run(engine)
    assert engine.asked == 2 + COPIES


def test_log_probabilities_that_depend_on_what_else_is_under_way_are_refused() -> None:
    with pytest.raises(SelfTestError, match=r"=dedicated: one prompt sent alone and 16 times .* differ by 0.02 nats"):
        run(Engine([steady(-0.5, -1.0), steady(-0.5, -1.02)]))


def test_an_engine_that_repairs_no_made_up_error_is_refused() -> None:
    with pytest.raises(SelfTestError, match=r"none of 2 made-up errors was repaired \(wrong\): look for another model"):
        run(Engine([steady(-0.5, -1.0)]), repairs=False)


@pytest.mark.parametrize(
    "failure",
    [ValueError("its token ids are others"), EndpointFailure(FailureReason.UNREACHABLE, "gone"), OSError("no route")],
)
def test_an_engine_that_cannot_be_asked_is_refused_in_one_line(failure: Exception) -> None:
    with pytest.raises(SelfTestError) as error:
        run(Engine(failure=failure))
    assert str(error.value) == f"self-test of df.repair.placement=dedicated: {failure}"


def test_an_engine_that_never_answers_is_refused() -> None:
    class Silent(Engine):
        async def probe(self, messages: list[dict[str, Any]]) -> Probe:
            await asyncio.sleep(3600)
            return Probe((), ())

    hasty = RepairConfig(placement="dedicated", model_path="m", timeout_s=0.05)
    with pytest.raises(SelfTestError, match="no answer in df.repair.timeout_s=0.05"):
        run_self_test(Silent(), Stream(True), hasty, ROWS, WORDS)


def test_a_task_without_annotated_answers_is_tested_for_the_rest() -> None:
    rows = [{**row, "reward_model": {}} for row in ROWS]
    run(Engine([steady(-0.5, -1.0)]), repairs=False, rows=rows)
    with pytest.raises(SelfTestError, match="differ by"):
        run(Engine([steady(-0.5, -1.0), steady(-0.6, -1.0)]), rows=rows)


def test_made_up_errors_answer_with_a_neighbours_answer() -> None:
    groups = made_up_errors(ROWS, WORDS)
    assert [group.columns["index"] for group in groups] == [0, 2]  # rows 1 and 2 have the same answer
    for group in groups:
        right, wrong = group.request.rollouts
        assert (right.reward, wrong.reward) == (1.0, 0.0)
        assert WORDS.decode(right.token_ids) == f"The answer is \\boxed{{{group.request.answer}}}."
        assert right.token_ids != wrong.token_ids and right.token_ids[-1] == WORDS.eos_token_id
    many = [{**ROWS[place % 2], "index": place} for place in range(100)]
    assert len(made_up_errors(many, WORDS)) == ERRORS


def test_tokens_are_compared_up_to_the_first_that_differs() -> None:
    tie = [steady(-1.0, -2.0, tokens="ax"), steady(-1.0, -2.3, tokens="ay"), steady(-1.1, -9.0, -9.0, tokens="bzz")]
    assert spread(tie[:1]) == 0
    assert spread(tie[:2]) == pytest.approx(0.3)  # of two tokens that tie both have the same probability
    assert spread([tie[0], tie[2]]) == pytest.approx(0.1)
