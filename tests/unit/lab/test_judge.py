# SPDX-License-Identifier: Apache-2.0
"""`verl-df judge`."""

import io

import pytest

from verl_df.cli import main


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["3 1/2", "It is 3.5."], ["kind      mixed number", "answer    It is 3.5"]),
        (
            ["B", r"\boxed{B or C}", "--choice", "3 cm", "--choice", "4 cm", "--choice", "5 cm"],
            ["kind      choice letter", "answer    B or C", "verdict   doubtful, so wrong: several options"],
        ),
        (["12", "I do not know\nat all"], ["kind      integer", "answer    none"]),
        (
            ["100", r"\boxed{10^2}", "--data-source", "mathvista"]
            + ["--extra", "question_type=free_form", "--extra", "answer_type=integer"],
            ["kind      the rule of the benchmark", "answer    100", "verdict   right: the number, cut"],
        ),
        (["60 km/h"], ["kind      quantity"]),
    ],
)
def test_the_verdict_says_kind_and_reason(arguments, lines, capsys):
    assert main(["judge", *arguments]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[: len(lines)] == lines


def test_a_response_from_the_standard_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Long.\n\\boxed{5 mW}\n"))
    assert main(["judge", "5 MW", "-"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "verdict   wrong: another unit"


def test_bad_input_is_one_line(capsys):
    assert main(["judge", "B", "B", "--extra", "choices"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["judge", "5", "5", "--data-source", "mathvista"]) == 1
    assert "extra_info has no 'question_type'" in capsys.readouterr().err
