# SPDX-License-Identifier: Apache-2.0
"""The repair prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_df.prompts import load_template, render_repair


def test_everything_is_in_the_prompt_and_markers_stay_in_the_question():
    prompt = render_repair("Look: <image> How many?", "top: red\n\\boxed{3}", "\\boxed{4}")
    assert "Look: <image> How many?" in prompt
    assert prompt.index("\\boxed{3}") < prompt.index("\\boxed{4}")
    assert prompt.count("<image>") == 1


def test_markers_of_a_response_are_dropped():
    prompt = render_repair("<image>Q", "a<image>b", "c<video>d")
    assert prompt.count("<image>") == 1 and "<video>" not in prompt and "ab" in prompt and "cd" in prompt


@given(st.text(), st.text(), st.text())
def test_values_are_never_read_as_placeholders(question, response, reference):
    values = [value.replace("<image>", "").replace("<video>", "") for value in (question, response, reference)]
    assert render_repair(*values, template="{question}|{response}|{reference}") == "|".join(values)


def test_placeholder_text_inside_a_value_stays():
    assert render_repair("{reference}", "{question}", "r", template="{question}|{response}|{reference}") == (
        "{reference}|{question}|r"
    )


@pytest.mark.parametrize("text", ["{question} {response}", "{question} {question} {response} {reference}"])
def test_bad_template_is_refused(tmp_path, text):
    path = tmp_path / "repair.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="exactly once"):
        load_template(path)
