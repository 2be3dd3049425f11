# SPDX-License-Identifier: Apache-2.0
"""Values of a data set."""

import pytest

from verl_df.method.checks import PREFERRED, preferred_response


def test_a_preferred_response_is_taken_as_it_is() -> None:
    assert preferred_response({PREFERRED: " 3, so \\boxed{3}\n", "index": 1}) == " 3, so \\boxed{3}\n"


@pytest.mark.parametrize(
    ("extra_info", "message"),
    [
        ({}, "extra_info.preferred_response is missing"),
        ({PREFERRED: None}, "extra_info.preferred_response is missing"),
        ({PREFERRED: 3}, "extra_info.preferred_response is 3: write a text"),
        ({PREFERRED: ["so 3"]}, r"extra_info.preferred_response is \['so 3'\]: write a text"),
        ({PREFERRED: ""}, "extra_info.preferred_response is empty"),
        ({PREFERRED: " \n"}, "extra_info.preferred_response is empty"),
        ({PREFERRED: "see <image>"}, "extra_info.preferred_response holds the marker <image>"),
        ({PREFERRED: "<video> shows 3"}, "extra_info.preferred_response holds the marker <video>"),
    ],
)
def test_what_is_no_preferred_response_is_refused(extra_info: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        preferred_response(extra_info)
