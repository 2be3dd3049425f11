# SPDX-License-Identifier: Apache-2.0
"""Videos from files, read through qwen_vl_utils as verl does."""

from pathlib import Path

import numpy as np
import pytest
from qwen_vl_utils import vision_process
from verl.utils.dataset.vision_utils import process_video

from tests.unit.clips import write_video
from verl_df.platform import video_files

video_files.apply()

RATE, COUNT, SIDE = 8, 24, 112


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three seconds; frame number n is of an even grey, 10 n."""
    greys = [np.full((SIDE, SIDE, 3), 10 * number, dtype=np.uint8) for number in range(COUNT)]
    return write_video(tmp_path_factory.mktemp("video") / "grey.mp4", greys, RATE)


def numbers(video) -> list[int]:
    return (video.mean(dim=(1, 2, 3)) / 10).round().int().tolist()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"nframes": 4}, [0, 8, 15, 23]),
        ({"fps": 8}, list(range(24))),
        ({}, [0, 5, 9, 14, 18, 23]),  # two frames a second, the default of Qwen's tools
        ({"nframes": 2, "video_start": 1.0, "video_end": 2.0}, [8, 16]),
    ],
)
def test_frames_are_chosen_evenly(path: str, choice: dict, expected: list[int]) -> None:
    item = {"video": f"file://{path}", "min_pixels": SIDE * SIDE, "max_pixels": SIDE * SIDE, **choice}
    (video, metadata), rate = process_video(item, return_video_sample_fps=True, return_video_metadata=True)
    assert video.shape == (len(expected), 3, SIDE, SIDE) and numbers(video) == expected
    assert metadata["frames_indices"] == expected and metadata["fps"] == RATE
    assert rate == pytest.approx(len(expected) / metadata["total_num_frames"] * RATE)


def test_a_file_whose_end_is_broken_gives_the_frames_that_there_are(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = video_files._measure
    monkeypatch.setattr(video_files, "_measure", lambda one: (measure(one)[0] + 10, RATE))
    video, metadata, _ = video_files.read_video({"video": path, "nframes": 4}, vision_process)
    assert numbers(video.float()) == [0, 8, 15, 23] and metadata["total_num_frames"] == COUNT


def test_what_is_no_video_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    for item, error in (
        ({"video": str(tmp_path / "a.mp4")}, "Invalid data"),
        ({"video": str(tmp_path / "b.mp4")}, "No such file"),
        ({"video": path, "nframes": 100}, "nframes should in interval"),
    ):
        with pytest.raises((OSError, ValueError), match=error):
            video_files.check_video(item, vision_process)
    video_files.check_video({"video": path}, vision_process)


def test_another_reader_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert vision_process.get_video_reader_backend() == "pyav"
    monkeypatch.setattr(vision_process, "FORCE_QWENVL_VIDEO_READER", "torchcodec")
    assert vision_process.get_video_reader_backend() == "torchcodec"
