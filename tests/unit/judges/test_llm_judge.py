# SPDX-License-Identifier: Apache-2.0
"""The LLM judge: verdicts, lenient reading of answers, and the rule for failures."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.endpoint_fake import MODEL, PATIENT_S, Behaviour, body, hangs, limit_s, says, serve, unused_port
from verl_df.judges.answer_form import last_object
from verl_df.judges.endpoint import EndpointConfig
from verl_df.judges.llm_judge import JudgeConfig, LLMJudge, Verdict, parse_verdict

IMAGE = Image.new("RGB", (2, 2))


def judge_with(url: str, timeout_s: float = PATIENT_S, **settings: Any) -> LLMJudge:
    endpoint = EndpointConfig(base_url=url, model=MODEL, timeout_s=timeout_s, max_retries=0)
    return LLMJudge(JudgeConfig(endpoint=endpoint, **settings))


def verdict(judge: LLMJudge, response: str = "so \\boxed{4}", truth: str = "4") -> Verdict:
    return asyncio.run(judge.judge("<image>How {many}?", [IMAGE], response, truth))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"correct": true, "reason": "same"}', Verdict(1.0, None)),
        ('{"reason": "no", "correct": false}', Verdict(0.0, None)),
        ('Let me see.\n```json\n{"correct": true, "reason": "a {b}"}\n```\nDone.', Verdict(1.0, None)),
        ('{"correct": true} no wait {"correct": false}', Verdict(0.0, None)),
        ('{"correct": "true"}', Verdict(0.0, "unparsable")),
        ('{"correct": 1}', Verdict(0.0, "unparsable")),
        ('{"right": true}', Verdict(0.0, "unparsable")),
        ('{"correct": tr', Verdict(0.0, "unparsable")),
        ("[true]", Verdict(0.0, "unparsable")),
        ("Yes, it is correct.", Verdict(0.0, "unparsable")),
    ],
)
def test_verdicts(answer: str, expected: Verdict) -> None:
    with serve(says(answer)) as server:
        judge = judge_with(server.url)
        assert verdict(judge) == expected
    assert judge.endpoint.counts == {expected.failure or "ok": 1}


def test_the_question_and_its_image_are_sent() -> None:
    with serve(says('{"correct": true}')) as server:
        verdict(judge_with(server.url), response="the <image> shows {ground_truth}")
        (request,) = server.requests
    image, text = request["messages"][0]["content"]
    assert image["type"] == "image_url"
    # braces in a value stay what they are, markers do not: the image is already there
    assert "\nHow {many}?\n" in text["text"] and "the  shows {ground_truth}" in text["text"]
    assert request["response_format"]["json_schema"]["schema"]["required"] == ["reason", "correct"]


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [(body("oh no", status=500), "http_error"), (says("nonsense"), "unparsable"), (hangs, "timeout")],
)
@pytest.mark.parametrize(("on_failure", "r_task"), [("wrong", 0.0), ("rule", 1.0)])
def test_the_rule_for_failures(behaviour: Behaviour, failure: str, on_failure: str, r_task: float) -> None:
    with serve(behaviour) as server:
        assert verdict(judge_with(server.url, limit_s(failure), on_failure=on_failure)) == Verdict(r_task, failure)


def test_the_rule_tells_right_from_wrong() -> None:
    judge = judge_with(f"http://127.0.0.1:{unused_port()}/v1", on_failure="rule")
    assert verdict(judge, "so \\boxed{4}") == Verdict(1.0, "unreachable")
    assert verdict(judge, "so \\boxed{5}") == Verdict(0.0, "unreachable")


def test_another_template(tmp_path: Path) -> None:
    template = tmp_path / "mine.txt"
    template.write_text("{response}|{ground_truth}|{question}")
    with serve(says('{"correct": true}')) as server:
        verdict(judge_with(server.url, prompt_template=str(template)), "a", "b")
        assert server.requests[0]["messages"][0]["content"][1]["text"] == "a|b|How {many}?"
    template.write_text("{response}")
    with pytest.raises(ValueError, match=r"mine2?.txt: the template must contain \{question\} exactly once"):
        other = tmp_path / "mine2.txt"
        other.write_text("{response}")
        judge_with("http://127.0.0.1:1/v1", prompt_template=str(other))
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        judge_with("http://127.0.0.1:1/v1", prompt_template="nowhere.txt")


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="on_failure='rul'; did you mean 'rule'"):
        JudgeConfig(on_failure="rul")
    with pytest.raises(ValueError, match="base_url=''"):
        LLMJudge(JudgeConfig())


@given(st.text(), st.booleans(), st.text(alphabet="abc \n`*", max_size=20))
def test_talk_around_the_object_does_not_matter(before: str, correct: bool, after: str) -> None:
    answer = f'{before}{{"correct": {str(correct).lower()}, "reason": "in {{}} braces"}}{after}'
    if "{" not in before:
        assert parse_verdict(answer) is correct


@given(st.text(alphabet='{}[]":, truefalsc1\\'))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    try:
        assert isinstance(last_object(text), dict)
    except ValueError as error:
        assert "no JSON object" in str(error)


def test_deep_nesting_is_no_trouble() -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        last_object('{"a":' * 5000)
