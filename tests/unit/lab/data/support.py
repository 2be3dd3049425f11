# SPDX-License-Identifier: Apache-2.0
"""Small files in the schemas of the public sources, for the tests of verl_df.lab.data. The questions are made up."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from verl_df.cli import main
from verl_df.lab.data.checks import check_sample
from verl_df.lab.data.images import Files
from verl_df.lab.data.rows import Dropped, Sample, build_row
from verl_df.lab.data.sources import SOURCES

# What `datasets` writes for an Image feature.
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
FILES = Files(Path("no such folder"))


def picture(number: int = 0, size: tuple[int, int] = (40, 30), form: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, (number % 256, 90, 200)).save(buffer, format=form)
    return buffer.getvalue()


def cell(number: int = 0) -> dict[str, Any]:
    return {"bytes": picture(number), "path": f"{number}.png"}


_ANGLE = "How large is angle CED?\nChoices:\nA:40°\nB:60°\nC:120°\nD:140°"
# A row of each source; its pictures' number is that of the row, where it has one.
ROWS: dict[str, dict[str, Any]] = {
    "geometry3k": {"images": [cell(3)], "problem": "<image>Find x, 3.", "answer": "3 \\sqrt { 3 }"},
    "mathvista": {
        "pid": "7",
        "question": "How long is the bar?",
        "image": "images/7.jpg",
        "decoded_image": cell(7),
        "choices": None,
        "unit": "cm",
        "precision": 1.0,
        "answer": "1.2",
        "question_type": "free_form",
        "answer_type": "float",
        "metadata": {
            "category": "math-targeted-vqa",
            "context": "bar chart",
            "grade": "daily life",
            "img_height": 30,
            "img_width": 40,
            "language": "english",
            "skills": ["statistical reasoning", "arithmetic reasoning"],
            "source": "FigureQA",
            "split": "testmini",
            "task": "figure question answering",
        },
        "query": "Hint: Please answer.\nQuestion: How long is the bar? (Unit: cm)",
    },
    "mmmu": {
        "id": "validation_Art_Theory_3",
        "question": "Compare <image 1> with <image 2>. Which is older?",
        "options": "['The first', \"Neither's\", 'See <image 1>']",
        "explanation": "See <image 3>.",
        "image_1": cell(1),
        "image_2": cell(2),
        "image_3": cell(3),
        **{f"image_{number}": None for number in (4, 5, 6, 7)},
        "img_type": "['Paintings']",
        "answer": "B",
        "topic_difficulty": "Medium",
        "question_type": "multiple-choice",
        "subfield": "Art Theory",
    },
    "mathverse": {
        "sample_index": "12",
        "problem_index": "3",
        "problem_version": "Text Lite",
        "question": _ANGLE,
        "image": cell(12),
        "answer": "D",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"},
        "query_wo": f"Please directly answer.\nQuestion: {_ANGLE}",
        "query_cot": f"Please first conduct reasoning.\nQuestion: {_ANGLE}",
        "question_for_eval": _ANGLE,
    },
    "mathvision": {
        "id": "31",
        "question": "Which one comes next?\n<image1>\n<image2>",
        "options": ["3", "4", "5", "6", "7"],
        "image": "images/31.jpg",
        "decoded_image": cell(31),
        "answer": "C",
        "solution": None,
        "level": 2,
        "subject": "logic",
    },
    "mmstar": {
        "index": 5,
        "question": "Where is the cat?\nOptions: A: on the chair, B: under it, or beside it, C: on a table, D: outside",
        "image": picture(5),
        "answer": "B",
        "category": "fine-grained perception",
        "l2_category": "localization",
        "meta_info": {"source": "SEEDBench_IMG", "split": "val", "image_path": "images/5.jpg"},
    },
    "ai2d": {"question": "What eats grass?", "options": ["fox", "hare", "owl"], "answer": "1", "image": cell(9)},
    "mmpr_tiny": {
        "data_source": "geo",
        "prompt": [
            {"role": "system", "content": "Think."},
            {"role": "user", "content": "<image>\nHow many sides? Box it."},
        ],
        "images": [{"path": "MMPR-Tiny/images/set/3.png"}],
        "ability": "math",
        "reward_model": {"ground_truth": "6", "style": "rule"},
        "extra_info": {"question": "<image>\nHow many sides?", "answer": "6"},
    },
}


def row_of(name: str, **changes: Any) -> dict[str, Any]:
    return {**ROWS[name], **changes}


def geometry3k(number: int, **changes: Any) -> dict[str, Any]:
    plain = {"images": [cell(number)], "problem": f"<image>Find x, {number}.", "answer": f"{number} \\sqrt {{ 3 }}"}
    return {**plain, **changes}


GEOMETRY3K = pa.schema({"images": pa.list_(IMAGE), "problem": pa.string(), "answer": pa.string()})


def sample_of(name: str, files: Files = FILES, **changes: Any) -> Sample:
    return SOURCES[name].sample(row_of(name, **changes), files)


def drop_of(name: str, files: Files = FILES, **changes: Any) -> Dropped:
    with pytest.raises(Dropped) as caught:
        sample_of(name, files, **changes)
    return caught.value


def checked_sample(sample: Sample, prompt: str, min_side: int = 1) -> None:
    """Check a sample with the row that is made of it. Raises: RowError."""
    row = build_row(sample, prompt, data_source="s", ability="math", name="1", split="train", index=0)
    check_sample(sample, row, min_side)


def write_parquet(
    path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None, group: int = 4
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, row_group_size=group)
    return path


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def text_of(row: Mapping[str, Any]) -> str:
    (message,) = row["prompt"]
    assert message["role"] == "user"
    return message["content"]


def run(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])
