# SPDX-License-Identifier: Apache-2.0
"""The engine of every evaluation: rows are asked and judged by chunks, each sample is kept as a JSON line."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from verl_df.io.json_lines import cut_half_line
from verl_df.io.lines import Lines
from verl_df.io.streams import batches
from verl_df.lab.generation import Generator, Request, Response
from verl_df.lab.task_reward import Answer, TaskReward

# Rows under way at a time: their images are in memory, and a run that is ended loses the answers to them.
CHUNK = 256


@dataclass(frozen=True)
class Decoding:
    """How a row is answered.

    Attributes:
        n: responses.
        temperature: 0 is greedy.
        top_p: share of the probability that tokens are drawn from.
        max_tokens: longest response.
    """

    n: int
    temperature: float
    top_p: float
    max_tokens: int


class Row(Protocol):
    """What a judge must know of a row."""

    @property
    def data_source(self) -> str: ...

    @property
    def ground_truth(self) -> Any: ...

    @property
    def extra_info(self) -> dict[str, Any]: ...


class Kept(Protocol):
    """A sample as it is kept. unit: the samples of one row in one pass, which are finished together."""

    @property
    def unit(self) -> Hashable: ...

    @property
    def score(self) -> float: ...


R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=Kept)


@dataclass(frozen=True)
class Judged(Generic[R]):
    """One response to a row. number: among the responses to the row. score: in [0, 1]."""

    row: R
    number: int
    response: Response
    score: float


def answer_to(row: Row, text: str) -> Answer:
    """What the reward judges."""
    return Answer(row.data_source, text, row.ground_truth, row.extra_info)


def judged(
    asked: Iterable[tuple[R, Request]], generator: Generator, decoding: Decoding, seed: int, reward: TaskReward
) -> Iterator[list[list[Judged[R]]]]:
    """Ask and judge, `CHUNK` rows at a time.

    Args:
        asked: rows with their requests, which carry their numbers.
        generator: answers.
        decoding: how.
        seed: a row's random draws depend on it and on the number of the request.
        reward: judges the texts.

    Yields:
        for each row of a chunk its judged responses; none where the request failed.
    """
    for chunk in batches(asked, CHUNK):
        responses = generator.generate([request for _, request in chunk], **asdict(decoding), seed=seed)
        pairs = [(row, own) for (row, _), own in zip(chunk, responses, strict=True)]
        scores = iter(reward.score([answer_to(row, one.text) for row, own in pairs for one in own]))
        yield [[Judged(row, number, one, next(scores)) for number, one in enumerate(own)] for row, own in pairs]


class SampleFile(Generic[S]):
    """Samples as JSON lines, to which a run appends. A context manager.

    Opening it mends what a kill left: half of a line goes, and so do the samples of a unit that lacks some.

    Attributes:
        done: the best score of each unit that has all its samples.
    """

    def __init__(self, path: Path, lines: Lines[S], size: Callable[[S], int]) -> None:
        """path: of the file, which need not exist. size: how many samples the unit of a sample has."""
        self._lines = lines
        self.done: dict[Hashable, float] = {}
        if path.exists():
            cut_half_line(path)
            self._keep_whole_units(path, size)
        self._writer = lines.writer(path)

    def append(self, samples: Sequence[S]) -> None:
        """Write all samples of some units; they are on the disk when this returns."""
        for sample in samples:
            self._writer.write(sample)
            self._note(sample)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()

    def _keep_whole_units(self, path: Path, size: Callable[[S], int]) -> None:
        missing: Counter[Hashable] = Counter()
        for sample in self._lines.read(path):
            missing[sample.unit] += 1 if sample.unit in self.done else 1 - size(sample)
            self._note(sample)
        broken = {unit for unit, count in missing.items() if count}
        if broken:
            self._lines.write(path, (sample for sample in self._lines.read(path) if sample.unit not in broken))
            for unit in broken:
                del self.done[unit]

    def _note(self, sample: S) -> None:
        self.done[sample.unit] = max(sample.score, self.done.get(sample.unit, 0.0))
