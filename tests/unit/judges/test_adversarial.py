# SPDX-License-Identifier: Apache-2.0
"""Responses that try to cheat are refused, whatever their length, and none takes longer than its length allows."""

import asyncio
import random
import time

import pytest

from tests.unit.judges.adversarial import OPTIONS, SLOW, TARGETS, responses
from verl_df.judges import expressions, final_answer, kinds, score
from verl_df.judges.kinds import ALL_KINDS

CORPUS = [(target, response) for target in TARGETS for response in responses(target)]
BENCHMARKS = {
    "": {},
    "mathvista": {"question_type": "free_form", "answer_type": "float", "precision": 1},
    "mmmu": {"question_type": "open", "answers": ["5"], "choices": []},
    "mathverse": {"question_type": "free-form", "choices": []},
    "mathvision": {"choices": OPTIONS},
    "ai2d": {"choices": OPTIONS},
    "mmstar": {"choices": OPTIONS},
}
LONGEST_S = 30.0  # of the processor, for one call: far above what any takes, far below one that hangs


def truth_for(source: str) -> str:
    return "B" if OPTIONS is BENCHMARKS[source].get("choices") else "5"


def test_the_corpus_is_large():
    assert len(CORPUS) >= 500 and len(set(CORPUS)) == len(CORPUS)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.truth} of {len(target.choices)}")
def test_every_attempt_is_refused(target, monkeypatch):
    monkeypatch.setattr(expressions, "CPU_SECONDS", 0.5)  # of the tower of powers that is among them
    expressions._worker.stop()
    extra = {"choices": list(target.choices)} if target.choices else None
    accepted = [text[:200] for text in responses(target) if final_answer.judge(text, target.truth, extra).right]
    expressions._worker.stop()  # the next one has the usual limit
    assert accepted == []


@pytest.mark.parametrize("source", ["ai2d", "mmstar", "mathvision"])
def test_the_benchmarks_refuse_them_too(source):
    target = next(target for target in TARGETS if target.choices)
    marked = [text for text in responses(target) if "boxed" in text or "<answer>" in text]
    extra = {"choices": list(target.choices)}
    right = [text[:200] for text in marked if score.judge(source, text, "B", extra).right]
    assert right == [] and len(marked) > 50


@pytest.mark.parametrize("source", ["", "mathvista", "mmmu", "mmstar"])
@pytest.mark.parametrize("name", SLOW)
def test_time_grows_no_faster_than_length(name, source, monkeypatch):
    monkeypatch.setattr(expressions, "equal", lambda truth, answer: False)  # its process has limits of its own

    def seconds(length: int) -> float:
        text = SLOW[name](length)
        start = time.process_time()
        score.judge(source, text, truth_for(source), BENCHMARKS[source])
        return time.process_time() - start

    seconds(1000)
    short = min(seconds(8_000), seconds(8_001))
    # eight times the length: 64 times the time where it grows with the square
    assert min(seconds(64_000), seconds(64_001)) < 24 * short + 0.1


def test_an_event_loop_goes_on_beside_a_call():
    """verl calls a plain reward function in a thread; what counts is the processor time between two turns."""
    texts = [make(64_000) for make in SLOW.values()]

    async def longest_wait() -> float:
        waits = [0.0]
        calls = asyncio.gather(*(asyncio.to_thread(score.judge, "", text, "5", None) for text in texts))
        while not calls.done():
            start = time.process_time()
            await asyncio.sleep(0)
            waits.append(time.process_time() - start)
        await calls
        return max(waits)

    score.judge("", r"\boxed{5 cm}", "5 m")  # loads the units
    assert asyncio.run(longest_wait()) < 2.0  # measured: 0.01


def test_a_call_ends_after_one_answer_that_takes_too_long(monkeypatch):
    monkeypatch.setattr(expressions, "CPU_SECONDS", 1.0)
    expressions._worker.stop()
    towers = [f"9^{{9^{{9^{{{number}}}}}}}+x" for number in range(5, 25)]
    asked = []
    exchange = expressions._worker._exchange
    monkeypatch.setattr(expressions._worker, "_exchange", lambda question: asked.append(question) or exchange(question))
    truth = rf"\{{{', '.join(f'x+{number}' for number in range(20))}\}}"
    assert not final_answer.judge(rf"\boxed{{\{{{', '.join(towers)}\}}}}", truth).right
    assert len(asked) == 1
    assert not final_answer.judge(rf"\boxed{{{towers[0]}}}", "x+1").right and len(asked) == 1  # it is remembered
    monkeypatch.undo()
    expressions._worker.stop()


def test_at_most_so_many_questions_are_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(expressions._worker, "ask", lambda truth, answer: asked.append(answer))
    truth, answer = (rf"\{{{', '.join(f'{name}^{n}' for n in range(2, 22))}\}}" for name in "xy")
    final_answer.judge(rf"\boxed{{{answer}}}", truth)
    assert len(asked) <= expressions.MAX_QUESTIONS


PIECES = [
    r"\boxed{", "}", "{", r"\frac{1}{2}", r"\frac", r"\sqrt{", r"\text{", "$", r"\(", "<answer>", "</answer>",
    "<think>", "</think>", "answer is ", "Answer: ", "#### ", "12", "3.5", "1,234", "10^5", "2:3", "6:30", "10-20",
    "(1,2)", "x = ", "5 cm", "50%", "$5", "°", "^", "_", "!", "\\", "(", ")", "[", "]", ",", ";", " or ", " and ",
    "-", "−", "–", "½", "√", "²", "π", "∞", "\n", " ", "\0", "\ud800", "\u202e", "٣", "B", "(B)", "A.", "May ",
    "2024-05-01", "dozen", "million", "e9", "9^{9^{9^9}}", "0/0", "1/0", r"\pm ", r"\infty", "NaN", "inf", "apples",
    "k", "'", '"', "%", "~", "|", "&", "=", ">",
]  # fmt: skip


def fuzzed(seed: int) -> str:
    chance = random.Random(seed)
    text = "".join(chance.choice(PIECES) for _ in range(chance.randint(0, 25)))
    if chance.random() < 0.3:
        text = "".join(chr(chance.randrange(0x110000)) if chance.random() < 0.2 else one for one in text)
    return rf"\boxed{{{text}}}" if chance.random() < 0.6 else text


def test_ten_thousand_random_responses(monkeypatch):
    monkeypatch.setattr(expressions, "equal", lambda truth, answer: False)
    truths = [example.truth for kind in ALL_KINDS for example in kind.EXAMPLES]
    for seed in range(10_000):
        source = list(BENCHMARKS)[seed % 3] if seed % 5 == 0 else ""
        truth, response = (
            (truths[seed % len(truths)], fuzzed(seed)) if not source else (truth_for(source), fuzzed(seed))
        )
        start = time.process_time()
        found = score.compute_score(source, response, truth, BENCHMARKS[source])
        assert time.process_time() - start < LONGEST_S, response
        assert set(found) == {"score", "acc", "parsed", "doubtful"} and found["acc"] in (0.0, 1.0)


def test_random_truths_too(monkeypatch):
    monkeypatch.setattr(expressions, "equal", lambda truth, answer: False)
    for seed in range(2_000):
        truth = fuzzed(seed)
        final_answer.judge(fuzzed(seed + 1), truth, {"choices": [fuzzed(seed), "4 cm"]} if seed % 4 == 0 else None)
        text = final_answer.truth_text(truth)
        if text:
            assert kinds.same(text, text).right


def test_random_mathematics_in_its_process():
    for seed in range(150):
        text = fuzzed(seed).replace("9^{9^{9^9}}", "x^2")
        assert final_answer.judge(rf"\boxed{{{text}+x}}", "x^2 + 2x").right is False
