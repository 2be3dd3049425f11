# SPDX-License-Identifier: Apache-2.0
"""What the ground truths of a data set are: how many of each kind, and those that no response could match."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_df.io.streams import open_parquet, parquet_rows
from verl_df.judges import final_answer, score
from verl_df.lab.markdown import markdown_table

_COLUMNS = ("data_source", "reward_model", "extra_info")
_MAX_SHOWN = 20


@dataclass(frozen=True)
class Unmatched:
    """A ground truth that does not match itself: its row, from 0, the truth and the reason."""

    row: int
    truth: str
    why: str


def check_truths(path: Path) -> str:
    """A table of the kinds and a list of the truths that no response could match.

    Raises:
        FileNotFoundError, ValueError: no parquet file of verl's RL rows.
    """
    kinds: Counter[str] = Counter()
    unmatched = []
    for row, source, truth, extra in _rows(path):
        try:
            kinds[final_answer.judge("", truth, extra).kind] += 1
            verdict = score.judge(source, f"\\boxed{{{_first(truth)}}}", truth, extra)
        except ValueError as error:
            unmatched.append(Unmatched(row, str(truth), str(error)))
            continue
        if not verdict.right:
            unmatched.append(Unmatched(row, str(truth), verdict.why))
    total = max(sum(kinds.values()), 1)
    table = markdown_table(
        ("kind", "truths", "share"), [(kind, str(n), f"{100 * n / total:.1f}%") for kind, n in kinds.most_common()]
    )
    return "\n".join([f"{path}: {sum(kinds.values())} ground truths", "", table, *_listed(unmatched)])


def _listed(unmatched: list[Unmatched]) -> list[str]:
    if not unmatched:
        return ["Each of them, boxed, matches itself."]
    lines = [f"{len(unmatched)} that no response could match:"]
    lines += [f"- row {one.row}: {one.truth[:80]!r}: {one.why}" for one in unmatched[:_MAX_SHOWN]]
    return [*lines, f"- and {len(unmatched) - _MAX_SHOWN} more"] if len(unmatched) > _MAX_SHOWN else lines


def _rows(path: Path) -> Iterator[tuple[int, str, Any, dict[str, Any]]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a parquet file of verl's RL rows")
    file = open_parquet(path)
    names = [name for name in _COLUMNS if name in file.schema_arrow.names]
    if missing := [name for name in _COLUMNS[:2] if name not in names]:
        raise ValueError(f"{path}: no column {missing[0]!r} (it has {', '.join(file.schema_arrow.names)})")
    for number, row in parquet_rows(path, range(file.metadata.num_rows), names):
        model = row["reward_model"]
        if not isinstance(model, dict) or model.get("ground_truth") is None:
            raise ValueError(f"{path}: row {number}: no reward_model.ground_truth")
        yield number, str(row["data_source"]), model["ground_truth"], row.get("extra_info") or {}


def _first(truth: Any) -> Any:
    return truth[0] if isinstance(truth, list) and truth else truth
