# SPDX-License-Identifier: Apache-2.0
"""The kept world: the files of the repository are those of its list, and where they are put."""

from pathlib import Path

import pytest

from verl_df.lab.toy.kept import KEPT, PARTS, SUMS, keep, place, read_sums, sha256


def test_the_repositorys_files_are_those_of_the_list() -> None:
    listed = read_sums(KEPT / SUMS)
    assert {name.partition("/")[0] for name in listed} == set(PARTS)
    assert all(sha256(KEPT / name) == digest for name, digest in listed.items())


def small(folder: Path) -> Path:
    """A world whose every part is one file."""
    for part in PARTS:
        path = folder / part if part.endswith(".json") else folder / part / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the {part}")
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    assert keep(small(tmp_path / "built"), tmp_path / "kept") == f"5 files in {tmp_path / 'kept'}"
    return tmp_path / "kept"


def test_what_is_kept_is_placed_once(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert place(out, kept) == f"5 files from {kept}"
    assert (out / "repair/model.safetensors").read_text() == "the repair"
    assert place(out, kept) == "up to date"
    (out / "repair/model.safetensors").unlink()
    assert place(out, kept) == f"5 files from {kept}"


def test_a_world_without_kept_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="SHA256SUMS is missing: .* train the models with `verl-df toy all`"):
        place(tmp_path / "out", tmp_path / "nothing")


def test_a_file_that_was_changed_is_refused(kept: Path, tmp_path: Path) -> None:
    (kept / "policy/model.safetensors").write_text("another")
    with pytest.raises(ValueError, match=r"policy/model\.safetensors is not the file that .*SHA256SUMS names"):
        place(tmp_path / "out", kept)


def test_a_world_that_was_built_stays(kept: Path, tmp_path: Path) -> None:
    out = small(tmp_path / "out")
    (out / "policy/model.safetensors").write_text("my own")
    (out / ".stamps").mkdir()
    (out / ".stamps/policy").touch()
    with pytest.raises(ValueError, match="half built: finish it with `bash examples/toy/build_world.sh"):
        place(out, kept)
    for name in ("repair-tasks", "repair"):
        (out / ".stamps" / name).touch()
    assert place(out, kept) == "a world was built here: left as it is"
    assert (out / "policy/model.safetensors").read_text() == "my own"
