# SPDX-License-Identifier: Apache-2.0
"""The repair model behind an endpoint that answers, dies, slows down, and lies about its tokenizer."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from verl import DataProto

from tests.unit.adapters.support import composed
from tests.unit.endpoint_fake import (
    IMPATIENT_S,
    MODEL,
    PATIENT_S,
    Behaviour,
    FakeEndpoint,
    body,
    hangs,
    hangs_up,
    serve,
    unused_port,
)
from verl_df.adapters.policy_training.group_exchange import GroupAnswer, GroupRow
from verl_df.adapters.policy_training.group_feedback import GroupFeedback
from verl_df.adapters.policy_training.placements.chat import chat_messages, without_repeats
from verl_df.adapters.policy_training.placements.remote import OtherTokens, RemoteConnection
from verl_df.adapters.policy_training.repair_server import repair_run_config
from verl_df.lab.toy.model import save_model
from verl_df.lab.toy.settings import ModelSettings
from verl_df.lab.toy.world import CELL, GRID
from verl_df.method.feedback import GroupRequest, NoRepair, RepairSample
from verl_df.method.group import Rollout
from verl_df.method.repair import Rejection
from verl_df.settings.config import RepairConfig, load_df_config

LENGTHS = ("data.max_prompt_length=100", "data.max_response_length=30", "actor_rollout_ref.rollout.name=vllm")
PICTURE = Image.new("RGB", (CELL * GRID, CELL * GRID), (200, 30, 30))
MESSAGES = [{"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "How many? "}]}]
RIGHT, WRONG, WORSE = "There are [3] red.", "There are [4] red.", "There are [5] red."
Reply = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy")
    save_model(path, ModelSettings(), seed=0)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]


def as_vllm(tokenizer: PreTrainedTokenizerBase, text: str = RIGHT, **changes: Any) -> Reply:
    """Replies as vLLM's server does when asked for token ids. changes: of the reply, a dot stands for `choices[0]`."""

    def reply(request: dict[str, Any]) -> dict[str, Any]:
        messages = json.loads(json.dumps(request["messages"]).replace('"image_url"', '"image"'))
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        scores = [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in text.split()]
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
            "token_ids": ids_of(tokenizer, text),
            "logprobs": {"content": scores} if request.get("logprobs") else None,
        }
        choice |= {name[1:]: value for name, value in changes.items() if name.startswith("_")}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 3, "total_tokens": 0}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice]}
        whole |= {"usage": usage, "prompt_token_ids": prompt}
        return whole | {name: value for name, value in changes.items() if not name.startswith("_")}

    return reply


def replies(reply: Reply) -> Behaviour:
    async def behaviour(endpoint: FakeEndpoint, request: web.Request) -> web.Response:
        return web.json_response(reply(await request.json()))

    return behaviour


def settings(url: str, remote: dict[str, Any] | None = None, **repair: Any) -> RepairConfig:
    where = {"base_url": url, "model": MODEL, "timeout_s": PATIENT_S, "max_retries": 0, **(remote or {})}
    return RepairConfig(placement="remote", remote=where, **repair)


def connection(folder: Path, repair: RepairConfig) -> RemoteConnection:
    return RemoteConnection.to(repair_run_config(composed(*LENGTHS, f"actor_rollout_ref.model.path={folder}"), repair))


def samples(folder: Path, repair: RepairConfig, seeds: Sequence[int] = (7,), slots: int = 4) -> list[RepairSample]:
    async def run() -> list[RepairSample]:
        model = connection(folder, repair).open(repair, slots)
        try:
            return await model.sample(MESSAGES, seeds, session="u")
        finally:
            await model.endpoint.aclose()

    return asyncio.run(run())


# ---- token ids -------------------------------------------------------------------------------------------------------


def test_token_ids_come_back_and_the_request_says_how_to_sample(folder: Path, tokenizer) -> None:
    with serve(replies(as_vllm(tokenizer))) as server:
        found = samples(folder, settings(server.url, temperature=0.5, top_p=0.9), seeds=(7, 8))
    ids = tuple(ids_of(tokenizer, RIGHT))
    assert found == [RepairSample(ids, finished=True, contains_placeholder=False)] * 2
    assert sorted(request["seed"] for request in server.requests) == [7, 8]
    for request in server.requests:
        assert (request["temperature"], request["top_p"], request["max_tokens"]) == (0.5, 0.9, 30)
        assert (request["return_token_ids"], request["top_k"], request["repetition_penalty"]) == (True, -1, 1.0)
        (message,) = request["messages"]
        assert message["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
        assert message["content"][1] == {"type": "text", "text": "How many? "}


def test_a_response_that_is_no_text_of_words_keeps_its_own_tokens(folder: Path, tokenizer) -> None:
    """One letter a token is not how the tokenizer would write it: nothing is encoded again."""
    letters = [token for letter in "red" for token in tokenizer.encode(letter, add_special_tokens=False)]
    with serve(replies(as_vllm(tokenizer, "red", _token_ids=letters, _finish_reason="length"))) as server:
        (found,) = samples(folder, settings(server.url))
    assert found == RepairSample(tuple(letters), finished=False, contains_placeholder=False)


@pytest.mark.parametrize(("reason", "ended"), [("stop", True), ("length", False)])
def test_text_is_cut_with_the_policys_tokenizer_where_no_ids_are_asked_for(
    folder: Path, tokenizer, reason: str, ended: bool
) -> None:
    bare = as_vllm(tokenizer, prompt_token_ids=None, _token_ids=None, _finish_reason=reason)
    with serve(replies(bare)) as server:
        (found,) = samples(folder, settings(server.url, {"token_ids": False}))
    assert found.token_ids == tuple(ids_of(tokenizer, RIGHT))[: None if ended else -1]
    assert found.finished is ended
    assert "return_token_ids" not in server.requests[0] and "top_k" not in server.requests[0]


def test_a_long_response_is_cut_and_an_empty_one_is_its_end_token(folder: Path, tokenizer) -> None:
    with serve(replies(as_vllm(tokenizer, "red " * 60))) as server:
        (long,) = samples(folder, settings(server.url))
    assert (len(long.token_ids), long.finished) == (30, False)
    with serve(replies(as_vllm(tokenizer, ""))) as server:
        (empty,) = samples(folder, settings(server.url))
    assert empty.token_ids == (tokenizer.eos_token_id,) and empty.finished


def test_pictures_go_as_the_processor_takes_them_and_videos_do_not_go(tokenizer) -> None:
    seen = chat_messages([{"role": "system", "content": "Be brief."}, *MESSAGES], {"image_data": [PICTURE]})
    assert seen[0] == {"role": "system", "content": "Be brief."}
    assert [item["type"] for item in seen[1]["content"]] == ["image_url", "text"]
    assert seen[1]["content"][0]["image_url"]["url"] is PICTURE  # `payload.request_body` encodes it
    with pytest.raises(NotImplementedError, match="placement=remote sends text and images only"):
        chat_messages(MESSAGES, {"video_data": ["clip"]})
    assert without_repeats([1, 9, 9, 9, 2, 2, 9], {9}) == [1, 9, 2, 2, 9]


# ---- an endpoint that fails ------------------------------------------------------------------------------------------


def lies(**changes: Any) -> Callable[[PreTrainedTokenizerBase], Behaviour]:
    return lambda tokenizer: replies(as_vllm(tokenizer, **changes))


FAILURES = {
    "dies": (lambda _: hangs_up, Rejection.NO_ANSWER),
    "is broken": (lambda _: body("oh no", status=500), Rejection.NO_ANSWER),
    "slows down": (lambda _: hangs, Rejection.NO_ANSWER),
    "answers with something else": (lambda _: body("[]"), Rejection.NO_ANSWER),
    "no choices": (lies(choices=[]), Rejection.NO_ANSWER),
    "half a surrogate pair": (lies(_message={"content": "red \ud83d"}), Rejection.NO_ANSWER),
    "words for token ids": (lies(_token_ids=["a"]), Rejection.NO_ANSWER),
    "no token ids": (lies(_token_ids=None), Rejection.OTHER_TOKENS),
    "ids of another text": (lies(_token_ids=[5, 6, 7]), Rejection.OTHER_TOKENS),
    "ids beyond the vocabulary": (lies(_token_ids=[10**6]), Rejection.OTHER_TOKENS),
    "another chat template": (lies(prompt_token_ids=[1, 2, 3]), Rejection.OTHER_TOKENS),
}


@pytest.mark.parametrize("name", list(FAILURES))
def test_each_failure_is_a_counted_rejection(folder: Path, tokenizer, name: str) -> None:
    behaviour, reason = FAILURES[name]
    limit = IMPATIENT_S if name == "slows down" else PATIENT_S
    with serve(behaviour(tokenizer)) as server, pytest.raises(NoRepair) as failure:
        samples(folder, settings(server.url, {"timeout_s": limit}), seeds=(1, 2))
    assert failure.value.reason is reason


def test_nobody_there(folder: Path) -> None:
    with pytest.raises(NoRepair, match="unreachable"):
        samples(folder, settings(f"http://127.0.0.1:{unused_port()}/v1"))


def test_a_queue_that_never_moves_is_given_up(folder: Path) -> None:
    """The second call waits for a slot, which no limit of a single call counts."""
    with serve(hangs) as server, pytest.raises(NoRepair, match="no samples in df.repair.timeout_s=0.6"):
        samples(folder, settings(server.url, timeout_s=IMPATIENT_S), seeds=(1, 2), slots=1)


def test_a_fault_of_ours_is_not_taken_for_the_endpoints(folder: Path, tokenizer, monkeypatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("verl_df.adapters.policy_training.placements.remote.chat_messages", broken)
    with serve(replies(as_vllm(tokenizer))) as server, pytest.raises(ZeroDivisionError):
        samples(folder, settings(server.url))


# ---- a group in the middle of a run ----------------------------------------------------------------------------------


async def judge(data: DataProto) -> dict[str, Any]:
    return {"reward_score": 1.0, "reward_extra_info": {"acc": 1.0}}


def group(tokenizer: PreTrainedTokenizerBase) -> GroupRow:
    texts = (WRONG, RIGHT, WORSE)
    rollouts = tuple(
        Rollout(f"u_{place}_0", tuple(ids := ids_of(tokenizer, text)), float(text == RIGHT), (True,) * len(ids), True)
        for place, text in enumerate(texts)
    )
    columns = {"raw_prompt": MESSAGES, "data_source": "t", "reward_model": {}, "extra_info": {}, "index": 0}
    return GroupRow(GroupRequest("u", rollouts, "3", "seed"), columns)


def answer(folder: Path, tokenizer: PreTrainedTokenizerBase, repair: RepairConfig) -> GroupAnswer:
    async def run() -> GroupAnswer:
        df = load_df_config({"repair": {"placement": "remote"}})
        object.__setattr__(df, "repair", repair)
        feedback = GroupFeedback(df, tokenizer, judge, workers=1)
        try:
            return await feedback.answer(group(tokenizer), connection(folder, repair))
        finally:
            await feedback._repair_model.endpoint.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("name", list(FAILURES))
def test_it_costs_the_repair_of_its_pair_and_nothing_else(folder: Path, tokenizer, name: str) -> None:
    """The endpoint fails for one of two errors; the other is repaired as ever."""
    honest, (failing, reason) = replies(as_vllm(tokenizer)), FAILURES[name]

    async def for_one(endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
        affected = WORSE in json.dumps(await request.json())
        return await (failing(tokenizer) if affected else honest)(endpoint, request)

    limits = {"timeout_s": 3.0 if name == "slows down" else PATIENT_S}
    with serve(honest) as server:
        expected = answer(folder, tokenizer, settings(server.url, n=1))
    with serve(for_one) as server:
        found = answer(folder, tokenizer, settings(server.url, limits, n=1))
    assert [repair.source for repair in expected.repairs] == ["u_0_0", "u_2_0"]
    assert [repair.source for repair in found.repairs] == ["u_0_0"]
    assert found.repairs[0].token_ids.tolist() == expected.repairs[0].token_ids.tolist()
    assert found.gates["u_0_0"].tolist() == expected.gates["u_0_0"].tolist()
    assert set(found.gates["u_2_0"]) == {1.0}  # as an error whose repairs were all wrong: df.group.on_infeasible
    assert found.outcome.rejections == {reason: 1}
    assert (found.outcome.n_asked, found.outcome.n_repaired) == (2, 1)


# ---- probes ----------------------------------------------------------------------------------------------------------


def probe(folder: Path, repair: RepairConfig, text_only: bool) -> Any:
    messages = [{"role": "user", "content": "How many?"}] if text_only else MESSAGES

    async def run() -> Any:
        model = connection(folder, repair).open(repair, 1)
        try:
            return await model.probe(messages)
        finally:
            await model.endpoint.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("text_only", [True, False])
def test_a_probe_is_greedy_and_has_log_probabilities(folder: Path, tokenizer, text_only: bool) -> None:
    with serve(replies(as_vllm(tokenizer))) as server:
        found = probe(folder, settings(server.url), text_only)
    assert (found.tokens, found.log_probs) == (tuple(RIGHT.split()), (-0.5,) * 4)
    assert (server.requests[0]["temperature"], server.requests[0]["logprobs"]) == (0.0, True)


@pytest.mark.parametrize(
    ("changes", "remote", "match"),
    [
        ({"_logprobs": None}, {}, "returns no log-probabilities"),
        ({"_token_ids": None}, {}, "serve with vLLM, or set df.repair.remote.token_ids=False"),
        ({"prompt_token_ids": [1]}, {}, "token ids of the prompt differ from the policy's from place 0 on"),
        ({"usage": None}, {"token_ids": False}, "counts None tokens in a prompt that has"),
    ],
)
def test_what_a_probe_finds(folder: Path, tokenizer, changes: dict, remote: dict, match: str) -> None:
    with serve(replies(as_vllm(tokenizer, **changes))) as server, pytest.raises((OtherTokens, ValueError), match=match):
        probe(folder, settings(server.url, remote), text_only=True)


def test_without_ids_a_prompt_of_text_has_the_policys_length(folder: Path, tokenizer) -> None:
    with serve(replies(as_vllm(tokenizer))) as server:
        assert probe(folder, settings(server.url, {"token_ids": False}), text_only=True).log_probs
