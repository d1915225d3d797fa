"""What a build reads of a tagged snapshot: apt finds what was tagged on the shelf, in each compression, and nothing else."""

from pathlib import Path

import pytest
from tests.apt.test_recorded_archive import EXTRA, GLUE, HELLO, LIBRARY, manifest_of, tagged, updated, upstream
from tests.worlds.recorded import RecordedArchive, apt_of, recorded_archive

from distwright.archive.shelf import Shelf
from distwright.archive.tag_states import state_of_tag
from distwright.archive.tag_trees import parse_tag
from distwright.errors import NotFound
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import Sha256
from distwright.net.listen import LoopbackServer
from distwright.store.signed import list_tags


@pytest.fixture
def archive(tmp_path: Path) -> RecordedArchive:
    """Tag two packages of an archive that has more, and take the network away."""
    archive = recorded_archive(tmp_path / "state", upstream())
    tagged(archive, manifest_of(HELLO, LIBRARY, states={"debian/stable": archive.record().row.digest}))
    archive.cut_off()
    return archive


def state(archive: RecordedArchive) -> Sha256:
    objects = archive.context.objects
    with archive.context.database.read() as tx:
        [tag] = list_tags(tx, "debian")
    return state_of_tag(parse_tag(objects.read(tag.digest)), objects)


@pytest.mark.parametrize("form", ["xz", "gz", "zst"])
def test_apt_finds_what_was_tagged_and_nothing_else(archive: RecordedArchive, tmp_path: Path, form: str) -> None:
    entry = ShelfEntry("debian", "stable", state(archive))
    shelf = Shelf((entry,), archive.context, archive.context.paths.cache / "pool", signed=True)
    with LoopbackServer(shelf.find) as server:
        apt = apt_of(tmp_path / "apt", f"{server.url}/debian", "mirror")
        conf = tmp_path / "apt" / "apt.conf"
        conf.write_text(f'{conf.read_text()}Acquire::CompressionTypes::Order {{ "{form}"; }};\n')
        assert updated(apt) == ["hello 1.0", "libhello 1.0"]
        assert apt.download("hello").complaints == []


def test_it_is_the_same_state_each_time_with_sources_and_without_what_was_not_tagged(archive: RecordedArchive) -> None:
    assert state(archive) == state(archive)
    entry = ShelfEntry("debian", "stable", state(archive))
    shelf = Shelf((entry,), archive.context, archive.context.paths.cache / "pool")
    with shelf.find(f"debian/pool/main/g/glue/{GLUE.dsc_name}")[0] as file:
        assert file.read() == GLUE.dsc
    with pytest.raises(NotFound):
        shelf.find(f"debian/{EXTRA.pool_path()}")
