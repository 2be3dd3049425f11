# SPDX-License-Identifier: Apache-2.0
"""One writer at a time: threads, processes, files and folders."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from verl_df.io.files import whole_file, write_text
from verl_df.io.json_lines import LineWriter
from verl_df.io.lock import InUse, only_writer

HOLDER = """
import sys
from pathlib import Path
from verl_df.io.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that has the lock of a folder, until it reads the end of its input."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_folder_has_one_writer_and_says_which(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(InUse, match=rf"{tmp_path}: process {process.pid} writes there; wait"):
            with only_writer(tmp_path):
                pytest.fail("two writers")
        process.communicate()
    with only_writer(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"), only_writer(tmp_path / "a/b"):
        raise ValueError("nothing was written")
    assert not (tmp_path / "a").exists()
    with only_writer(tmp_path / "a/b", "c"):
        (tmp_path / "a/b/x").touch()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["x"]


def test_a_lock_does_not_outlive_its_process(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_writer(tmp_path):
        pass


def test_names_in_a_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    with only_writer(tmp_path, "a"), only_writer(tmp_path, "b"):
        with pytest.raises(InUse, match=f"{tmp_path}/a: process {os.getpid()} writes there"):
            with only_writer(tmp_path, "a"):
                pytest.fail("two writers")


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as file:
        file.write("first")
        with pytest.raises(InUse, match=r"a\.txt: another process writes there"):
            write_text(path, "second")
    assert path.read_text() == "first"
    write_text(path, "second")
    assert path.read_text() == "second" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "a.txt.partial").write_text("half of something, much longer than what follows")
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_lines_have_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with LineWriter(path) as writer:
        writer.write_line("1")
        with pytest.raises(InUse, match=r"a\.jsonl: another process writes there"):
            LineWriter(path)
    with LineWriter(path) as writer:
        writer.write_line("2")
    assert path.read_text() == "1\n2\n"


def test_half_a_surrogate_pair_is_spelled_out(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "so \ud83d")
    assert (tmp_path / "a.txt").read_text() == "so \\ud83d"
