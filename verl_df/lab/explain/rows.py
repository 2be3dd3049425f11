# SPDX-License-Identifier: Apache-2.0
"""A JSONL file of rollouts, and its rows as the groups of their prompts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from verl_df.io.json_lines import read_lines
from verl_df.io.lines import Lines
from verl_df.io.validation import Listed, checked
from verl_df.lab.explain.spans import check_spans, marked
from verl_df.lab.explain.units import Units
from verl_df.method.feedback import GroupRequest
from verl_df.method.group import Rollout

TokenId = Annotated[int, Field(ge=0, lt=1 << 63)]
Share = Annotated[float, Field(ge=0, le=1)]
_OF_PROMPT = ("prompt", "images", "ground_truth", "data_source", "extra_info", "preferred")


@checked
class RolloutRow:
    """One line: a rollout, with what is known of its prompt and of its repair.

    Attributes:
        uid: of the prompt; rows with the same one are a group.
        reward: r_task in [0, 1].
        response: y as text; or
        token_ids: its tokens, end token included.
        finished: False for a response cut by the length limit.
        repair: ŷ as text; or
        repair_token_ids: its tokens.
        repair_reward: r_task of ŷ; without it the reward function judges.
        truth_mask: the truly wrong tokens of y, 0 or 1 each; or
        wrong_spans: the truly wrong characters of `response`, as [start, end), from 0; the tokenizer says which tokens
            these are.
        prompt: x, with an `<image>` marker for each picture.
        images: files of the pictures, in the folder of the JSONL file.
        ground_truth: the annotated answer.
        data_source: which reward function of verl's judges, where none is given.
        extra_info: for the reward function.
        preferred: the preferred response of the prompt, for `--reference preferred`.

    Raises:
        ValueError: a response, a repair or a truth given twice, or what belongs to one that is not there.
    """

    uid: str
    reward: Share
    response: str | None = None
    token_ids: Listed[TokenId] | None = None
    finished: bool = True
    repair: str | None = None
    repair_token_ids: Listed[TokenId] | None = None
    repair_reward: Share | None = None
    truth_mask: Listed[Annotated[int, Field(ge=0, le=1)]] | None = None
    wrong_spans: Listed[Listed[int]] | None = None
    prompt: str = ""
    images: Listed[str] = ()
    ground_truth: str | None = None
    data_source: str = ""
    extra_info: dict[str, Any] = field(default_factory=dict)
    preferred: str | None = None

    def __post_init__(self) -> None:
        if (self.response is None) == (self.token_ids is None):
            raise ValueError("give either 'response', a text, or 'token_ids'")
        if self.repair is not None and self.repair_token_ids is not None:
            raise ValueError("give either 'repair', a text, or 'repair_token_ids'")
        if self.repair_reward is not None and not self.has_repair:
            raise ValueError("'repair_reward' without 'repair' or 'repair_token_ids'")
        if self.wrong_spans is not None:
            if self.truth_mask is not None:
                raise ValueError("give either 'truth_mask', of tokens, or 'wrong_spans', of characters")
            check_spans(self.wrong_spans, self.response)
        if self.prompt.count("<image>") != len(self.images):
            raise ValueError(
                f"{self.prompt.count('<image>')} <image> markers in 'prompt' for {len(self.images)} images"
            )

    @property
    def has_repair(self) -> bool:
        return self.repair is not None or self.repair_token_ids is not None

    @property
    def has_text(self) -> bool:
        return self.response is not None or self.repair is not None


ROWS = Lines(RolloutRow, None, "a rollout", optional=[one.name for one in fields(RolloutRow)])


@dataclass(frozen=True)
class Group:
    """A prompt's rollouts.

    Attributes:
        request: for the method; the key of a rollout is its line, see `places`.
        rows: by key.
        repairs: token ids of the given repairs, by key.
        truths: of the rollouts whose truly wrong tokens are known, 0 or 1 for each token, by token ids.
        places: file and line, by key.
    """

    request: GroupRequest
    rows: dict[str, RolloutRow]
    repairs: dict[str, tuple[int, ...]]
    truths: dict[tuple[int, ...], tuple[int, ...]]
    places: dict[str, str]

    @property
    def first(self) -> RolloutRow:
        """Any row, for what is the same in all of them."""
        return next(iter(self.rows.values()))


def read_rows(path: Path) -> list[tuple[int, RolloutRow]]:
    """Line numbers and rows. Raises: ValueError with file and line, also for a file without rows."""
    rows = list(read_lines(path, ROWS.load))
    if not rows:
        raise ValueError(
            f"{path} has no rows: write one JSON object a line, with uid, reward, and response or token_ids"
        )
    return rows


def make_groups(path: Path, rows: Sequence[tuple[int, RolloutRow]], units: Units, seed: int) -> list[Group]:
    """The groups, in the order of their first lines.

    Args:
        path: of the rows, for messages.
        rows: as `read_rows` returns them.
        units: what texts are cut into.
        seed: of the choice of references.

    Raises:
        ValueError: with file and line, for rows of a prompt that contradict each other, token ids beside texts
            without a tokenizer, or a truth mask of another length than its response.
    """
    by_uid: dict[str, list[tuple[int, RolloutRow]]] = {}
    for line, row in rows:
        by_uid.setdefault(row.uid, []).append((line, row))
    return [_group(path, uid, own, units, seed) for uid, own in by_uid.items()]


def _group(path: Path, uid: str, rows: Sequence[tuple[int, RolloutRow]], units: Units, seed: int) -> Group:
    first_line, first = rows[0]
    rollouts: list[Rollout] = []
    repairs: dict[str, tuple[int, ...]] = {}
    truths: dict[tuple[int, ...], tuple[int, ...]] = {}
    for line, row in rows:
        try:
            _check_same_prompt(row, first, first_line)
            ids = _ids(row.response, row.token_ids, row.finished, units)
            if row.has_repair:
                repairs[_key(line)] = _ids(row.repair, row.repair_token_ids, True, units)
            truth = row.truth_mask
            if row.wrong_spans is not None and row.response is not None:
                truth = marked(row.wrong_spans, units.extents(row.response, row.finished))
            if truth is not None:
                _add_truth(truths, ids, truth)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        rollouts.append(Rollout(_key(line), ids, row.reward, (True,) * len(ids), row.finished))
    request = GroupRequest(uid, tuple(rollouts), first.ground_truth, f"{seed}-{uid}", first.preferred)
    by_key = {_key(line): row for line, row in rows}
    return Group(request, by_key, repairs, truths, {_key(line): f"{path}, line {line}" for line, _ in rows})


def _key(line: int) -> str:
    return f"{line:09}"  # sorts as the lines do


def _check_same_prompt(row: RolloutRow, first: RolloutRow, first_line: int) -> None:
    for name in _OF_PROMPT:
        if getattr(row, name) != getattr(first, name):
            raise ValueError(f"{name!r} differs from that of line {first_line}, which has the same uid {row.uid!r}")


def _ids(text: str | None, token_ids: Sequence[int] | None, finished: bool, units: Units) -> tuple[int, ...]:
    if text is not None:
        return units.encode(text, finished)
    assert token_ids is not None  # a row has one of them
    units.check(token_ids)
    return tuple(token_ids)


def _add_truth(truths: dict[tuple[int, ...], tuple[int, ...]], ids: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Raise ValueError for another length, or another mask of the same response to the same prompt."""
    if len(mask) != len(ids):
        raise ValueError(f"'truth_mask' has {len(mask)} entries for {len(ids)} tokens (an end token counts)")
    if truths.setdefault(ids, mask) != mask:
        raise ValueError("'truth_mask' contradicts that of an equal response to the same prompt")
