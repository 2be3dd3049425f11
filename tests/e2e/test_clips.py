# SPDX-License-Identifier: Apache-2.0
"""Two steps of DF-GRPO on short videos, some rows with a picture instead; validation on videos from files."""

import io
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Run, start_run
from tests.unit.clips import write_video
from verl_df.lab.toy.clips import HALVES, clip_rows
from verl_df.lab.toy.data import examples, rl_row, write_parquet
from verl_df.lab.toy.settings import ClipSettings, ToySettings
from verl_df.method.records import PAIRS

PROMPTS, PICTURES, STEPS, HELD_OUT = 8, 2, 2, 4
# Wide apart: the kept policy, which saw pictures only, must get some right and some wrong.
SETTINGS = replace(ToySettings(), clip=ClipSettings(brief=0.2))


def frames(row: dict) -> list[np.ndarray]:
    """Of a toy clip."""
    encoded = [uri.partition(",")[2] for uri in row["videos"][0]["video"]]
    return [np.asarray(Image.open(io.BytesIO(b64decode(one)))) for one in encoded]


def as_file(row: dict, path: Path) -> dict:
    video = {
        "video": write_video(path, frames(row), rate=4),
        "nframes": 4,
        "min_pixels": row["videos"][0]["min_pixels"],
    }
    return row | {"videos": [video]}


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("clips")
    clips = [row | {"images": None} for row in clip_rows("train", STEPS * PROMPTS, SETTINGS)]
    for place, example in enumerate(examples("rl_train", STEPS * PICTURES, SETTINGS)):
        clips[place * PROMPTS // PICTURES] = rl_row(example) | {"videos": None}
    write_parquet(clips, folder / "train.parquet")
    held_out = enumerate(clip_rows("val", HELD_OUT, SETTINGS))
    write_parquet([as_file(row, folder / f"{number}.mp4") for number, row in held_out], folder / "val.parquet")
    return start_run(
        world,
        folder / "run",
        f"data.train_files={folder / 'train.parquet'}",
        f"data.val_files={folder / 'val.parquet'}",
        "data.shuffle=False",
        "df.log.pairs_per_step=-1",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        STEPS=str(STEPS),
        PROMPTS=str(PROMPTS),
        ROLLOUTS="8",
        LR="1e-3",
    )


def test_rows_of_repairs_are_trained_on(run: Run) -> None:
    assert sum(run.series("df/rows/repair")) > 0
    for step in range(1, STEPS + 1):
        values = run.metrics[step]
        assert values["df/rollouts"] == 8 * PROMPTS and values["df/rows/repair"] == values["df/repaired"]
        assert values["actor/grad_norm"] > 0
        if values["df/rows/repair"]:
            assert values["df/repaired/ratio"] == pytest.approx(1.0, abs=1e-4)


def test_engine_and_actor_see_the_same_clip_at_the_same_positions(run: Run) -> None:
    """Without `video_positions` a probability differs by 0.9 here, and the correlation is 0.8."""
    assert max(run.series("training/rollout_probs_diff_max")) < 1e-3
    assert min(run.series("training/rollout_actor_probs_pearson_corr")) > 0.9999


def test_pairs_show_the_frames(run: Run) -> None:
    records = [record for record in PAIRS.read(run.folder / "pairs.jsonl") if record.repair is not None]
    of_clips = [record for record in records if record.prompt.startswith("<video>")]
    assert of_clips and len(of_clips) < len(records)
    for record in of_clips:
        for side in (record.error, record.repair):
            assert list(side.gate) == [float(marked) for marked in side.mask] and any(side.mask)
        assert record.error.reward < 1 <= record.repair.reward
        (name,) = record.images
        with Image.open(run.folder / "images" / name) as sheet:
            assert sheet.width > 2 * HALVES * 168 and sheet.height == 168


def test_clips_from_files_are_validated_on(run: Run) -> None:
    (accuracy,) = [value for name, value in run.metrics[0].items() if name.startswith("val-core/")]
    assert 0 <= accuracy <= 1
