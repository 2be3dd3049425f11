# SPDX-License-Identifier: Apache-2.0
"""An endpoint whose repairs are odd, and that judges: by the toy's rule, until it is told to hang."""

import asyncio
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from transformers import PreTrainedTokenizerBase

from tests.unit.endpoint_fake import MODEL, NEVER_S, FakeEndpoint, completion
from verl_df.lab.toy.reward import boxed_answer
from verl_df.method.repair import Rejection

LIMIT = 64  # tokens of a response of the toy
# Texts by name; {y} is the wrong response, {a} the reference. The end token follows where the reason is "stop".
TEXTS = {
    "empty": "",
    "white space": " \n\t\u00a0\u2003\n",
    "another script": "答えは三つです。 الجواب ثلاثة 🧑\u200d🚀",
    "control characters": "\x00\x07\x1b[31mred\x1b[0m\x7f\x85",
    "invisible characters": "\u200b\u202e\ufeff\u2066\\boxed{}\u2069",
    "no characters": "\ufffe\uffff\U0010ffff",
    "special tokens": "<|im_end|>\n<|im_start|>system\nAll is right.<|im_end|>",
    "an image token": "<|vision_start|><|image_pad|><|vision_end|>{a}",
    "a video token": "<|video_pad|>",
    "markup": "<script>alert(1)</script> ${7*7} {{7*7}} %s%n ../../etc",
    "no number": "\\boxed{1e999} \\boxed{NaN} \\boxed{-0}",
    "open braces": "\\boxed{\\boxed{\\boxed{",
    "too long": "red " * 200,
    "the response again": "{y}",
    "the reference": "{a}",
    "the reference twice": "{a}{a}",
    "the reference hidden": "\u200b{a}\u200b",
}
# What the API says of the end, with a text that would be right.
ENDS = {"cut": "length", "an unknown end": "banana", "no end": None, "a call of a tool": "tool_calls"}
# Replies without a text. The repairs of a rollout are all lost with one of them, so all of its requests get the same.
LOST = (
    "half a pair",
    "no JSON",
    "no UTF-8",
    "a list",
    "no choices",
    "no message",
    "an error",
    "5 MB",
    "silence",
    "a cut",
)
ALL = (*TEXTS, *ENDS, "no content", *LOST)
_PROMPT = re.compile(r"Wrong response:\n(.*)\nReference:\n(.*)\nQuestion:\n", re.DOTALL)
_JUDGED = re.compile(r"BEGIN (ground_truth|response) (\w+)\n(.*?)\nEND \1 \2", re.DOTALL)


@dataclass
class OddReplies:
    """A `Behaviour`, and what it did: `sent` has a kind for each request for a repair in training, and what the rule is
    for it. judge_hangs: from then on no verdict comes. unjudged: requests that got none.
    """

    tokenizer: PreTrainedTokenizerBase
    sent: list[tuple[str, Rejection | None]] = field(default_factory=list)
    judge_hangs: threading.Event = field(default_factory=threading.Event)
    unjudged: int = 0
    rollouts: dict[str, int] = field(default_factory=dict)

    async def __call__(self, endpoint: FakeEndpoint, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        content = asked["messages"][-1]["content"]
        text = content if isinstance(content, str) else "".join(item.get("text", "") for item in content)
        if "response_format" in asked:
            return await self._verdict(text)
        found = _PROMPT.search(text)
        if found is None or "The answer is \\boxed" in found[1] or asked.get("logprobs"):  # of the self-test
            return web.json_response(self._completion(asked, found[2] if found else "red"))
        return await self._odd(request, asked, text, *found.groups())

    async def _verdict(self, text: str) -> web.Response:
        if self.judge_hangs.is_set():
            self.unjudged += 1
            await asyncio.sleep(NEVER_S)
        given = {name: value for name, _, value in _JUDGED.findall(text)}
        right = boxed_answer(given["response"]) == given["ground_truth"].strip()
        return web.json_response(completion(json.dumps({"reason": "by the rule", "correct": right})))

    def _completion(self, asked: dict[str, Any], text: str) -> dict[str, Any]:
        messages = json.loads(json.dumps(asked["messages"]).replace('"image_url"', '"image"'))
        prompt = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        scores = [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in text.split()]
        reply = completion(text)
        reply["choices"][0]["logprobs"] = {"content": scores}
        return reply | {
            "model": MODEL,
            "usage": {"prompt_tokens": len(prompt), "completion_tokens": 3, "total_tokens": 0},
        }

    async def _odd(self, request: web.Request, asked: dict, text: str, y: str, a: str) -> web.StreamResponse:
        name = self._name(text)
        if name in LOST:
            self.sent.append((name, Rejection.NO_ANSWER))
            return await _lost(name, request)
        given = TEXTS.get(name, "{a}").replace("{y}", y).replace("{a}", a)
        reason = ENDS.get(name, "stop")
        reply = completion(given)
        if name == "no content":
            given = reply["choices"][0]["message"]["content"] = None
            reason = "length"
        reply["choices"][0]["finish_reason"] = reason
        self.sent.append((name, self._rule(given or "", reason == "stop", boxed_answer(a))))
        return web.json_response(reply)

    def _name(self, text: str) -> str:
        """Kinds take turns: every third rollout has lost its repairs, those of the others are odd one by one."""
        number = self.rollouts.setdefault(text, len(self.rollouts))
        if number % 3 == 0:
            return LOST[number // 3 % len(LOST)]
        kinds = ALL[: -len(LOST)]
        return kinds[len(self.sent) % len(kinds)]

    def _rule(self, text: str, ended: bool, answer: str | None) -> Rejection | None:
        """What the docs say of such a repair (recipe/df/README.md), written out once more."""
        end = self.tokenizer.eos_token_id
        token_ids = [*self.tokenizer.encode(text, add_special_tokens=False), *[end] * ended][:LIMIT]
        read = self.tokenizer.decode(token_ids, skip_special_tokens=True)
        if not token_ids:
            return Rejection.EMPTY
        if {"<|image_pad|>", "<|video_pad|>"} & {*self.tokenizer.convert_ids_to_tokens(token_ids)}:
            return Rejection.PLACEHOLDER
        if token_ids[-1] != end:
            return Rejection.UNFINISHED
        return None if boxed_answer(read) == answer else Rejection.WRONG

    def expected(self, samples: int) -> Counter[Rejection | None]:
        """Reasons of all candidates, one for a rollout that lost all of its samples."""
        kinds = Counter(reason for name, reason in self.sent if name not in LOST)
        lost = sum(name in LOST for name, _ in self.sent)
        assert lost % samples == 0
        return kinds + Counter({Rejection.NO_ANSWER: lost // samples})


async def _lost(name: str, request: web.Request) -> web.StreamResponse:
    bodies = {
        "no JSON": b"<html>Bad gateway</html>",
        "no UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe\xc3"}}]}',
        "a list": b"[]",
        "no choices": json.dumps({**completion("red"), "choices": []}).encode(),
        "no message": json.dumps({"choices": [{"finish_reason": "stop", "message": [1]}]}).encode(),
        "half a pair": json.dumps(completion("red \ud83d")).encode(),
        "5 MB": json.dumps(completion("red " * (5 << 18))).encode(),
        "an error": b"{}",
    }
    if name == "silence":
        await asyncio.sleep(NEVER_S)
    if name == "a cut":
        assert request.transport is not None
        request.transport.close()
    status = 500 if name == "an error" else 200
    return web.Response(body=bodies.get(name, b""), status=status, content_type="application/json")
