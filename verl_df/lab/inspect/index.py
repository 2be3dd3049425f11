# SPDX-License-Identifier: Apache-2.0
"""An index of pairs.jsonl: where each record stands, and what a list is searched, filtered and sorted by."""

import threading
from pathlib import Path
from typing import Any

from verl_df.method.metrics import mask_truth
from verl_df.method.records import PAIRS, PairRecord

COLUMNS = (
    "line",  # of the file, from 1: the name of a pair in links
    "offset",  # bytes
    "length",  # bytes, without the line break
    "step",
    "uid",
    "question",  # the start of the prompt
    "answer",  # the annotated one
    "reference",  # its kind
    "reasons",  # of rejected candidates, each once, in order of the alphabet
    "candidates",
    "tokens",  # of y
    "ratio",  # edit ratio; null without a repair, as density
    "density",  # share of y's tokens with a gate above 0
    "empty",  # a repair, and no gate on y or no marked token of ŷ (whose gate is 0 where repairs are not trained on)
    "disagreement",  # share of y's tokens where gate and truth differ; null where no truth is known, as the next two
    "precision",
    "recall",
)
QUESTION_CHARACTERS = 160
FAULTS_SHOWN = 200


class PairIndex:
    """The index of a file that may still grow. Threads may share it.

    Attributes:
        rows: one list per readable record, its values those of `COLUMNS`.
        faults: [line number, what is wrong] of lines that hold no record.
        generation: goes up when the file was replaced by a shorter one, and the index started anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self.rows: list[list[Any]] = []
        self.faults: list[tuple[int, str]] = []
        self._end, self._line = 0, 0

    def read_on(self, lines: int) -> bool:
        """Take in at most `lines` further whole lines; a last line without its line break is left for later.

        Returns:
            whether more may follow at once.
        """
        with self._lock:
            if not self.path.is_file():
                return False
            with self.path.open("rb") as file:
                if self.path.stat().st_size < self._end:
                    self.generation += 1
                    self._start()
                file.seek(self._end)
                for _ in range(lines):
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        return False
                    self._take(line)
        return True

    def part(self, first: int, lines: int) -> dict[str, Any]:
        """The rows from number `first` on, after reading on where there are fewer than `lines` of them.

        Returns:
            generation, rows, faults (the first), their count, and more: whether to ask again at once.
        """
        missing = first + lines - len(self.rows)
        more = self.read_on(missing) if missing > 0 else True
        rows = self.rows[first : first + lines]
        return {
            "generation": self.generation,
            "rows": rows,
            "faults": self.faults[:FAULTS_SHOWN],
            "fault_count": len(self.faults),
            "more": more,
        }

    def _take(self, line: bytes) -> None:
        offset = self._end
        self._end += len(line)
        self._line += 1
        if not line.strip():
            return
        try:
            record = PAIRS.load(line.decode("utf-8"))
        except ValueError as error:
            self.faults.append((self._line, " ".join(str(error).split())[:300]))
            return
        self.rows.append([self._line, offset, len(line.rstrip(b"\r\n")), *summary(record)])


def summary(record: PairRecord) -> list[Any]:
    """The values of `COLUMNS` from the step on."""
    error, repair = record.error, record.repair
    marked = sum(value > 0 for value in error.gate)
    return [
        record.step,
        record.uid,
        record.prompt[:QUESTION_CHARACTERS],
        record.ground_truth[:QUESTION_CHARACTERS],
        record.reference_kind,
        sorted({reason for reason in record.rejections if reason is not None}),
        len(record.rejections),
        len(error.gate),
        record.edit_ratio,
        None if repair is None else round(marked / max(1, len(error.gate)), 4),
        repair is not None and not (marked and any(repair.mask)),
        *_against_truth(record),
    ]


def _against_truth(record: PairRecord) -> tuple[float | None, float | None, float | None]:
    if record.truth_mask is None or record.repair is None:
        return None, None, None
    found = mask_truth(record.error.gate, record.truth_mask)
    differing = (found.fp + found.fn) / max(1, len(record.truth_mask))
    return round(differing, 4), _share(found.tp, found.tp + found.fp), _share(found.tp, found.tp + found.fn)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
