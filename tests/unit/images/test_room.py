"""Room is asked for in one question for each file system, and the answer names all that was to go there."""

import os
from pathlib import Path

import pytest

from distwright.errors import OutOfSpace
from distwright.images.room import Wanted, want_room


def test_what_goes_to_one_file_system_is_counted_together(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    most = disk.f_bavail * disk.f_frsize * 6 // 10  # free space moves while tests run, but not by so much
    folders = [tmp_path / name for name in ("work", "beside")]
    for folder in folders:
        folder.mkdir()
    want_room([Wanted(folders[0], most, "the kit")])
    want_room([])
    with pytest.raises(OutOfSpace) as raised:
        want_room([Wanted(folder, most, f"what is {folder.name}") for folder in folders])
    megabytes = -(-most // 1_000_000)
    assert raised.value.message.startswith(
        f"{megabytes} MB for what is work in {folders[0]} and {megabytes} MB for what is beside in {folders[1]} are wanted, and "
    )
    assert "TMPDIR" in raised.value.hint
