"""A disk that is too small for what a tree of live-build becomes: nothing is there afterwards, and the next import goes on."""

from dataclasses import replace

import pytest
from tests.fault.test_full_disk import small_disk
from tests.unit.images.test_from_live_build import imported

from distwright.errors import OutOfSpace
from distwright.images.live_build_writing import write_import
from distwright.images.recipe_files import ImageFile

pytestmark = pytest.mark.system


@pytest.mark.parametrize("size", ["64k", "400k", "2m"])
def test_a_full_disk_leaves_nothing_of_an_import(size: str) -> None:
    small = imported()
    large = ImageFile("includes.chroot/large", b"x" * (3 << 20), is_executable=False)
    with small_disk(size) as disk:
        for found in (replace(small, files=(*small.files, large)), replace(small, files=(large, *small.files))):
            with pytest.raises(OutOfSpace, match=f"no space left below {disk.seen}"):
                write_import(disk.seen / "repo", found)
            assert list(disk.seen.iterdir()) == []
        if size == "2m":
            _, tables = write_import(disk.seen / "repo", small)
            assert tables.read_text() == small.tables
