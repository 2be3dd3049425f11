# SPDX-License-Identifier: Apache-2.0
"""The repair prompt as chat messages."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.prompts import load_template, render_repair
from verl_df.prompts.messages import repair_messages

IMAGE = {"type": "image", "image": "first.png"}
OTHER_IMAGE = {"type": "image", "image": "second.png", "max_pixels": 1000}
VIDEO = {"type": "video", "video": "v.mp4"}
SYSTEM = {"role": "system", "content": "Be brief."}


def text(value: str) -> dict:
    return {"type": "text", "text": value}


def user(*content: dict) -> dict:
    return {"role": "user", "content": list(content)}


def as_text(message: dict) -> str:
    return "".join(item["text"] if item["type"] == "text" else f"<{item['type']}>" for item in message["content"])


def test_the_last_user_message_becomes_the_request() -> None:
    messages = [SYSTEM, user(IMAGE, text("How many?"))]
    request = repair_messages(messages, "Four.", "Three.")
    assert request[0] == SYSTEM
    assert request[1]["role"] == "user"
    assert request[1]["content"].count(IMAGE) == 1
    assert as_text(request[1]) == render_repair("<image>How many?", "Four.", "Three.")
    assert all(word in as_text(request[1]) for word in ("How many?", "Four.", "Three."))


def test_media_stay_in_their_places_and_order() -> None:
    prompt = [user(text("First "), IMAGE, text(" then "), VIDEO, OTHER_IMAGE, text(": same?"))]
    content = repair_messages(prompt, "yes", "no")[0]["content"]
    assert [item for item in content if item["type"] != "text"] == [IMAGE, VIDEO, OTHER_IMAGE]
    assert "First <image> then <video><image>: same?" in as_text({"content": content})


def test_media_of_earlier_turns_stay() -> None:
    earlier = [user(IMAGE, text("What?")), {"role": "assistant", "content": "A dog."}]
    request = repair_messages([*earlier, user(text("Sure?"))], "no", "yes")
    assert request[:2] == earlier
    assert [item["type"] for item in request[2]["content"]] == ["text"]


def test_a_prompt_of_plain_text_stays_plain_text() -> None:
    request = repair_messages([{"role": "user", "content": "2 + 2?"}], "5", "4")
    assert request == [{"role": "user", "content": render_repair("2 + 2?", "5", "4")}]


def test_the_given_messages_are_left_as_they_were() -> None:
    messages = [SYSTEM, user(IMAGE, text("How many?"))]
    before = copy.deepcopy(messages)
    repair_messages(messages, "Four.", "Three.")
    assert messages == before


@given(st.text(), st.text())
def test_markers_in_what_models_wrote_are_dropped(response: str, reference: str) -> None:
    for marker in ("<image>", "<video>", "<im<image>age>"):
        content = repair_messages([user(IMAGE, text("q"))], response + marker, marker + reference)[0]["content"]
        assert [item["type"] for item in content].count("image") == 1
        assert all(item["type"] in ("text", "image") for item in content)


def test_another_template() -> None:
    request = repair_messages([user(IMAGE, text("q"))], "y", "a", "{reference}|{question}|{response}")
    assert request[0]["content"] == [text("a|"), IMAGE, text("q|y")]


def test_braces_in_a_response_are_no_placeholders() -> None:
    request = repair_messages([user(text("q"))], r"\boxed{reference}", "a")
    assert r"\boxed{reference}" in as_text(request[0])


@pytest.mark.parametrize("messages", [[], [SYSTEM], [user(text("q")), {"role": "assistant", "content": "a"}]])
def test_without_a_question_there_is_nothing_to_repair(messages: list) -> None:
    with pytest.raises(ValueError, match="the last message of a prompt must be the user's"):
        repair_messages(messages, "y", "a")


def test_other_content_is_refused() -> None:
    with pytest.raises(ValueError, match="content of type 'audio'"):
        repair_messages([user({"type": "audio", "audio": "x.wav"}, text("q"))], "y", "a")


@pytest.mark.parametrize(
    ("question", "template"),
    [("what is <image>?", None), ("q", load_template() + "\nLook again: <image>")],
)
def test_a_marker_without_media_is_refused(question: str, template: str | None) -> None:
    with pytest.raises(ValueError, match="the repair prompt has 2 of the markers <image>, <video> for 1 media"):
        repair_messages([user(IMAGE, text(question))], "y", "a", template)
