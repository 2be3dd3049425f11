# SPDX-License-Identifier: Apache-2.0
"""Charts as files of their own: deterministic, hostile names as they are, the extra named where it is missing."""

import sys
from xml.etree import ElementTree

import pytest

from verl_df.lab.drawing import draw_svg

HOSTILE = ['a <&> "b"', "_hidden", "$x_1$"]


def draw(axes):
    for index in range(3):
        axes.plot([0, 1], [index, 1], "o-", color=f"C{index}")


def test_names_are_shown_as_they_are_and_files_are_the_same_each_time():
    svg = draw_svg("title <&>", HOSTILE, draw)
    texts = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[-3:] == HOSTILE
    assert svg == draw_svg("title <&>", HOSTILE, draw) and "<dc:date>" not in svg


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'verl_df\[plots\]'"):
        draw_svg("", [], draw)
