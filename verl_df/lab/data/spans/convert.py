# SPDX-License-Identifier: Apache-2.0
"""From a source to rollouts with `wrong_spans`, and the pictures beside them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from verl_df.io.files import whole_file, write_json
from verl_df.io.lock import only_writer
from verl_df.lab.data.fields import escaped
from verl_df.lab.data.images import Files
from verl_df.lab.data.inputs import open_input
from verl_df.lab.data.reading import RawRow
from verl_df.lab.data.spans.labelled import Labelled, LeftOut, Response, SpanSource
from verl_df.lab.data.spans.pictures import keep
from verl_df.lab.data.summary import summarise
from verl_df.lab.explain.rows import ROWS, RolloutRow
from verl_df.rows.columns import MARKER, unencodable
from verl_df.rows.faults import Reason, RowError
from verl_df.rows.special_tokens import SPECIAL_TOKENS


@dataclass(frozen=True)
class SpanSettings:
    """What the result depends on.

    where: file, folder or hub name. revision: of the hub's repository; None: the newest. images: folder of the
    pictures; None: beside the file. limit: rows of the source to read; None: all. right: whether right responses of the
    source are written too.
    """

    where: str
    revision: str | None
    images: str | None
    limit: int | None
    right: bool


@dataclass
class _Counts:
    """What is written, and what of it is wrong."""

    rows: int = 0
    responses: int = 0
    right: int = 0
    characters: int = 0
    wrong_characters: int = 0
    dropped: list[dict[str, str]] = field(default_factory=list)

    def add(self, response: Response) -> None:
        self.responses += 1
        self.right += not response.wrong
        if response.wrong:
            self.characters += len(response.text)
            self.wrong_characters += sum(end - start for start, end in response.wrong)


class _Prompts:
    """Numbers prompts, so that responses to the same one become a group, and knows the responses of each."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._responses: set[tuple[str, str]] = set()

    def number(self, prompt: str, row: int) -> int:
        """The row in which the prompt was first seen."""
        return self._numbers.setdefault(prompt, row)

    def is_new(self, prompt: str, response: str) -> bool:
        """Whether the prompt had not had this response. It has it now."""
        before = len(self._responses)
        self._responses.add((prompt, response))
        return len(self._responses) > before


def convert_spans(source: SpanSource, settings: SpanSettings, out: Path) -> dict[str, Any]:
    """Write OUT/NAME.jsonl, OUT/images, OUT/NAME.dropped.jsonl and OUT/NAME.summary.json.

    Returns:
        the summary.

    Raises:
        FileNotFoundError, ValueError: nothing to read, a row that is not of the source's form, no row left, or a result
            that is there already. The rows are written whole or not at all.
    """
    path = out / f"{source.name}.jsonl"
    with only_writer(out, source.name):
        if path.exists():
            raise ValueError(f"{path} is there already: give another --out")
        found = open_input(settings.where, source, source.split, (), settings.revision)
        counts = _Counts()
        with whole_file(path) as file:
            for row in _rollouts(source, settings, islice(found.rows(0), settings.limit), out, counts):
                file.write(f"{ROWS.dump(row)}\n")
            summary = _summary(source, settings, counts)
            if not counts.responses - counts.right:
                raise ValueError(
                    f"none of {counts.rows} rows has a wrong response that could be used: {_reasons(summary)}"
                )
        with whole_file(out / f"{source.name}.dropped.jsonl") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in counts.dropped)
        write_json(out / f"{source.name}.summary.json", {**summary, "commit": found.commit})
    return summary


def _rollouts(
    source: SpanSource, settings: SpanSettings, raws: Iterator[RawRow], out: Path, counts: _Counts
) -> Iterator[RolloutRow]:
    files = None if settings.images is None else Files(Path(settings.images))
    prompts = _Prompts()
    for index, raw in enumerate(raws):
        counts.rows += 1
        try:
            labelled = source.read(raw.row, files or raw.files)
            _check_texts(labelled)
            yield from _of_prompt(source, settings, labelled, out / "images", prompts, index, counts)
        except (RowError, LeftOut) as drop:
            line = {"id": str(index), "where": raw.where, "reason": str(drop.reason), "detail": drop.detail}
            counts.dropped.append({key: escaped(value) for key, value in line.items()})
        except ValueError as error:
            raise ValueError(f"{raw.where}: {error}") from error


def _of_prompt(
    source: SpanSource,
    settings: SpanSettings,
    labelled: Labelled,
    folder: Path,
    prompts: _Prompts,
    index: int,
    counts: _Counts,
) -> Iterator[RolloutRow]:
    images = tuple(f"images/{keep(image, folder)}" for image in labelled.images)
    known = json.dumps([labelled.prompt, images, labelled.ground_truth, dict(labelled.extra_info)])
    wanted = [response for response in labelled.responses if settings.right or response.wrong]
    if not wanted:
        raise LeftOut("no wrong response")
    fresh = [response for response in wanted if prompts.is_new(known, response.text)]
    if not fresh:
        raise LeftOut("the same response again", f"first in row {prompts.number(known, index)}")
    for response in fresh:
        counts.add(response)
        yield _rollout(source, labelled, response, f"{source.name}/{prompts.number(known, index)}", images)


def _rollout(
    source: SpanSource, labelled: Labelled, response: Response, uid: str, images: tuple[str, ...]
) -> RolloutRow:
    return RolloutRow(
        uid=uid,
        reward=float(not response.wrong),
        response=response.text,
        repair=response.repair,
        repair_reward=None if response.repair is None else 1.0,
        wrong_spans=response.wrong,
        prompt=labelled.prompt,
        images=images,
        ground_truth=labelled.ground_truth,
        data_source=source.name,
        extra_info=dict(labelled.extra_info),
    )


def _check_texts(labelled: Labelled) -> None:
    """Raise RowError for a text that no model could be given, or that would stand for a picture."""
    for text in (labelled.prompt, *(response.text for response in labelled.responses)):
        problem = unencodable(text)
        if problem:
            raise RowError(Reason.OTHER_FORM, f"a text {problem}")
        held = next((token for token in SPECIAL_TOKENS if token in text), None)
        if held is not None:
            raise RowError(Reason.SPECIAL_TOKEN, held)
    if any(MARKER in response.text for response in labelled.responses):
        raise RowError(Reason.SPECIAL_TOKEN, f"{MARKER} in a response")


def _summary(source: SpanSource, settings: SpanSettings, counts: _Counts) -> dict[str, Any]:
    return {
        "source": source.name,
        "licence": source.licence,
        "settings": asdict(settings),
        **summarise(counts.rows, counts.dropped),
        "responses": counts.responses,
        "right": counts.right,
        "wrong_share": counts.wrong_characters / max(1, counts.characters),
    }


def _reasons(summary: Mapping[str, Any]) -> str:
    found = [f"{reason}: {one['rows']}" for reason, one in summary["dropped"].items()]
    return ", ".join(found) or "all are right, or the source is empty"
