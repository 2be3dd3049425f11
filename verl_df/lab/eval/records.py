# SPDX-License-Identifier: Apache-2.0
"""What an evaluation on benchmarks keeps as JSON lines, so that each figure can be computed again."""

from typing import Annotated, Any

from pydantic import Field

from verl_df.io.lines import Lines
from verl_df.io.validation import checked

Share = Annotated[float, Field(ge=0, le=1)]


@checked
class Problem:
    """One row of a data set.

    Attributes:
        data: name of the data set, as in the tables.
        problem: id within it.
        index: row number in the file, from 0.
        prompt: last user text, with its `<image>` markers.
        data_source, ground_truth, extra_info: as in the row.
    """

    data: str
    problem: str
    index: int
    data_source: str
    prompt: str
    ground_truth: str
    extra_info: dict[str, Any]


@checked
class SampleKey:
    """What tells samples of one evaluation apart.

    Attributes:
        data, problem: as in `Problem`.
        seed: of the random draws.
        sample: number among the responses to the problem under this seed.
    """

    data: str
    problem: str
    seed: int
    sample: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """All of them."""
        return self.data, self.problem, self.seed, self.sample

    @property
    def unit(self) -> tuple[str, int, str]:
        """What is answered together."""
        return self.data, self.seed, self.problem


@checked
class Sample(SampleKey):
    """One response.

    Attributes:
        tokens: generated.
        finished: not cut by the length limit.
        extracted: the answer that was read, None where none was, or the reward function does not say.
        score: in [0, 1].
    """

    text: str
    tokens: int
    finished: bool
    extracted: str | None
    score: Share


@checked
class Score(SampleKey):
    """What another scorer says of a sample; `extracted` and `score` as in `Sample`."""

    extracted: str | None
    score: Share


PROBLEMS = Lines(Problem, version=1, allow_nan=True)  # extra_info is the row's own
SAMPLES, SCORES = Lines(Sample, version=1), Lines(Score, version=1)
