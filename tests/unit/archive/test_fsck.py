"""Damage of every kind is found and named; what another copy still has comes back."""

import shutil
from pathlib import Path

import pytest
from tests.worlds.archive import make_deb
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.fsck import Damage, check_archive, check_objects, repair
from distwright.archive.shelf import no_mirrors
from distwright.model.digests import Sha256, sha256_of
from distwright.store.holds import object_hold, replace_holds
from distwright.store.objects import FileObjects

HELLO = make_deb("hello", "1.0")


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    context = make_context(tmp_path / "here")
    context.objects = FileObjects(context.paths.objects)
    suite = own_suite(tmp_path, context=context)
    suite.publish(suite.version("1.0"))
    return suite


def rot(context: WorldContext, digest: Sha256) -> None:
    """Change a byte of an object, as a disk does."""
    file = context.objects.local_path(digest)
    file.chmod(0o644)
    file.write_bytes(b"x" + file.read_bytes()[1:])


def test_a_sound_archive_has_no_damage(suite: OwnSuite) -> None:
    assert list(check_objects(suite.context)) == []
    assert list(check_archive(suite.context, "petrel")) == []


def test_an_object_that_rotted_is_named_and_comes_back_from_a_copy(suite: OwnSuite, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(suite.context.paths.objects, backup)
    rot(suite.context, HELLO.sha256)
    found = list(check_objects(suite.context))
    assert found == [Damage("its bytes have changed", HELLO.sha256)]
    [left] = repair(suite.context, found, no_mirrors, [])
    assert left.what.startswith("its bytes have changed; no copy of")
    assert repair(suite.context, found, no_mirrors, [backup]) == []
    served = list(check_archive(suite.context, "petrel"))
    assert [damage.what for damage in served] == ["it is served with other bytes"], "the old file is still linked there"
    assert repair(suite.context, served, no_mirrors, []) == []
    assert list(check_archive(suite.context, "petrel")) == list(check_objects(suite.context)) == []
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_files_that_are_not_served_are_named_and_laid_out_again(suite: OwnSuite) -> None:
    pool = suite.archive / HELLO.pool_path()
    index = suite.archive / "dists/devel/main/binary-amd64/Packages.xz"
    for file in (pool, index):
        file.unlink()
    found = list(check_archive(suite.context, "petrel"))
    assert sorted((damage.what, Path(damage.path).name) for damage in found) == [
        ("it is not served", "Packages.xz"), ("it is not served", pool.name),
    ]  # fmt: skip
    assert repair(suite.context, found, no_mirrors, []) == []
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_a_file_that_somebody_edited_in_the_public_tree_is_put_right(suite: OwnSuite) -> None:
    release = suite.archive / "dists/devel/InRelease"
    release.unlink()
    release.write_text("mine now")
    found = list(check_archive(suite.context, "petrel"))
    assert [(damage.what, damage.path) for damage in found] == [("it is served with other bytes", str(release))]
    assert repair(suite.context, found, no_mirrors, []) == []
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_an_object_that_is_held_and_lost_is_named(suite: OwnSuite) -> None:
    lost = sha256_of(b"nowhere")
    with suite.context.database.write() as tx:
        replace_holds(tx, "release 1.0", [object_hold("", lost, "its image")], suite.context.clock)
    assert list(check_objects(suite.context)) == [Damage("it is held and lost", lost)]
