# SPDX-License-Identifier: Apache-2.0
"""What an engine that verl does not run beside the policy must show before training: it is the repair model that the
run was told of, and it answers alike however busy it is.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from verl_df.adapters.policy_training.group_exchange import GroupRow
from verl_df.adapters.policy_training.group_stream import GroupStream
from verl_df.adapters.policy_training.placement import Connection, Probe
from verl_df.adapters.policy_training.rows import PROMPT_FIELDS
from verl_df.judges.failures import EndpointFailure
from verl_df.method.feedback import GroupRequest, NoRepair
from verl_df.method.group import Rollout
from verl_df.prompts.messages import repair_messages
from verl_df.settings.config import RepairConfig

logger = logging.getLogger(__name__)
logger.setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))

COPIES = 16  # of one prompt, sent at once
ERRORS = 8  # made up; one repair is enough
QUESTION = [{"role": "user", "content": "How much is 2 + 3? Answer with one number."}]


class SelfTestError(RuntimeError):
    """The repair engine cannot be used; one line says why and what to change."""


def run_self_test(
    connection: Connection, stream: GroupStream, repair: RepairConfig, rows: Sequence[dict[str, Any]], tokenizer: Any
) -> None:
    """Test the repair engine.

    The tokenizer, by a prompt of text; log-probabilities, by one prompt sent alone and many times at once; and whether
    one of `ERRORS` made-up errors is repaired, judged as in training.

    Args:
        connection: to the repair model.
        stream: to the reward workers, empty.
        repair: the `df.repair` block.
        rows: of the training data, as verl's dataset gives them.
        tokenizer: the policy's.

    Raises:
        SelfTestError: it failed.
    """
    groups = made_up_errors(rows, tokenizer)
    prompt = repair_messages(list(groups[0].columns["raw_prompt"]), "2 + 3 = 6", "2 + 3 = 5") if groups else QUESTION
    where = f"self-test of df.repair.placement={repair.placement}"
    try:
        probes = asyncio.run(_probes(connection, repair, prompt))
    except TimeoutError as error:
        raise SelfTestError(f"{where}: no answer in df.repair.timeout_s={repair.timeout_s:g}") from error
    except (EndpointFailure, NoRepair, OSError, ValueError) as error:
        raise SelfTestError(f"{where}: {error}") from error
    difference = spread(probes)
    if difference > repair.self_test_tolerance:
        raise SelfTestError(
            f"{where}: one prompt sent alone and {COPIES} times at once came back with log-probabilities that differ "
            f"by {difference:.3g} nats, more than df.repair.self_test_tolerance={repair.self_test_tolerance:g}: look "
            "for replicas with other weights or another precision"
        )
    for group in groups:
        stream.add(group)
    _, answers, _ = stream.collect([group.request.uid for group in groups])
    if answers and not any(answer.repaired for answer in answers):
        reasons = sorted({str(reason) for answer in answers for one in answer.attempts for reason in one.rejections})
        raise SelfTestError(
            f"{where}: none of {len(answers)} made-up errors was repaired ({', '.join(reasons)}): look for another "
            "model, chat template or prompt template than the repair model was trained with"
        )
    logger.info("%s: passed; log-probabilities within %.3g nats", where, difference)


async def _probes(connection: Connection, repair: RepairConfig, prompt: list[dict[str, Any]]) -> list[Probe]:
    model = connection.open(repair, COPIES)
    async with asyncio.timeout(repair.timeout_s):
        await model.probe(QUESTION)
        alone = await model.probe(prompt)  # first: until a picture was read once, threads must not share it
        return [alone, *await asyncio.gather(*(model.probe(prompt) for _ in range(COPIES)))]


def spread(probes: Sequence[Probe]) -> float:
    """The largest difference of log-probabilities, in nats, between answers up to the first token that differs.

    Two tokens that are equally likely may be chosen now one and now the other; what follows cannot be compared.
    """
    largest, first = 0.0, probes[0]
    for other in probes[1:]:
        for place, (token, theirs) in enumerate(zip(first.tokens, other.tokens, strict=False)):
            largest = max(largest, abs(first.log_probs[place] - other.log_probs[place]))
            if token != theirs:
                break
    return largest


def made_up_errors(rows: Sequence[dict[str, Any]], tokenizer: Any) -> list[GroupRow]:
    """Groups of a wrong and a right answer, made of the annotated answers of neighbouring rows; none without those."""
    first = [rows[number] for number in range(min(len(rows), 4 * ERRORS))]
    known = [row for row in first if (row["reward_model"] or {}).get("ground_truth") is not None]
    differing = [pair for pair in pairwise(known) if _answer(pair[0]) != _answer(pair[1])]
    return [_group(number, row, other, tokenizer) for number, (row, other) in enumerate(differing[:ERRORS])]


def _answer(row: dict[str, Any]) -> str:
    return str(row["reward_model"]["ground_truth"])


def _group(number: int, row: dict[str, Any], other: dict[str, Any], tokenizer: Any) -> GroupRow:
    uid = f"selftest{number}"

    def rollout(session: int, answer: str, reward: float) -> Rollout:
        text = f"The answer is \\boxed{{{answer}}}."
        token_ids = (*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id)
        return Rollout(f"{uid}_{session}_0", token_ids, reward, (True,) * len(token_ids), True)

    rollouts = (rollout(0, _answer(row), 1.0), rollout(1, _answer(other), 0.0))
    request = GroupRequest(uid, rollouts, _answer(row), seed=f"self-test-{number}")
    return GroupRow(request, {field: row.get(field) for field in PROMPT_FIELDS})
