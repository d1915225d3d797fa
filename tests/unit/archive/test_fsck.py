"""Damage of every kind is found and named; what another copy still has comes back."""

import shutil
import tracemalloc
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, MIRROR, Upstream, UpstreamFetcher, make_deb, make_source
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.recorded import RecordedArchive, recorded_archive
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.fsck import Damage, check_archive, check_held, check_objects, check_recorded
from distwright.archive.garbage import mark
from distwright.archive.own_snapshots import take_snapshot
from distwright.archive.repairing import repair, tell
from distwright.archive.shelf import no_mirrors
from distwright.archive.snapshots import PoolChoice, parse_snapshot
from distwright.archive.suites import Who, remove_packages
from distwright.archive.tags import TagRequest, tag_snapshots
from distwright.archive.tree import parse_root
from distwright.archive.trees import ServedTree
from distwright.errors import Refused
from distwright.model.digests import Sha256, canonical_json, sha256_of
from distwright.store.archives import list_snapshots
from distwright.store.holds import all_holds, drop_holds, object_hold, replace_holds
from distwright.store.objects import FileObjects

HELLO = make_deb("hello", "1.0")
LARGE = 64 << 20


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


def test_a_large_file_is_compared_without_being_held_in_memory(suite: OwnSuite) -> None:
    pool = suite.archive / HELLO.pool_path()
    pool.unlink()
    with pool.open("wb") as file:
        file.truncate(LARGE)  # no bytes on disk: as long as it takes to hash
    tracemalloc.start()
    try:
        assert [damage.what for damage in check_archive(suite.context, "petrel")] == ["it is served with other bytes"]
        with pytest.raises(Refused, match="is published with other content"):
            ServedTree(suite.archive).add_pool([(HELLO.pool_path(), HELLO.sha256)], suite.context.objects)
        assert tracemalloc.get_traced_memory()[1] < LARGE / 4
    finally:
        tracemalloc.stop()


def test_an_object_that_is_held_and_lost_is_named(suite: OwnSuite) -> None:
    lost = sha256_of(b"nowhere")
    with suite.context.database.write() as tx:
        replace_holds(tx, "release 1.0", [object_hold("", lost, "its image")], suite.context.clock)
    assert list(check_objects(suite.context)) == [Damage("it is held and lost", lost)]


def lose_what_only(state: Sha256, other: Sha256, context: WorldContext) -> set[Sha256]:
    """Delete every leaf and package file of a state that another does not have; give them."""
    lost = mark([state], context.objects) - mark([other], context.objects) - {state}
    for digest in lost:
        context.objects.local_path(digest).unlink()
    return lost


def found_again(suite: OwnSuite, backup: Path, lost: set[Sha256], holder: str) -> None:
    """Expect that leaves are named, package files once the leaves are back, and that nothing is left in the end."""
    context = suite.context
    everything: set[Sha256] = set()
    while found := list(check_objects(context)):
        assert {damage.digest for damage in check_held(context)} == {damage.digest for damage in found}
        for told in tell(context, found, was_mended=False):
            assert holder in told.thing or "held through" in told.thing or told.thing.startswith("pool/")
        assert all("collect" not in told.hint for told in tell(context, found, was_mended=True))
        assert repair(context, found, no_mirrors, [backup]) == []
        assert not everything & {damage.digest for damage in found}
        everything |= {damage.digest for damage in found}
    assert everything == lost


@pytest.mark.parametrize("of", ["snapshot", "undo"])
def test_what_a_held_state_consists_of_and_nobody_serves_is_looked_for(
    suite: OwnSuite, tmp_path: Path, of: str
) -> None:
    context, old = suite.context, suite.state().revision
    if of == "snapshot":
        take_snapshot(context, "petrel", ["devel"])
        suite.publish(suite.version("2.0"))
    else:
        remove_packages(context, "petrel", "devel", ["hello"], Who("user ada"), dry_run=False)
        suite.publish(suite.state().revision)
    with context.database.write() as tx:
        drop_holds(tx, [hold.holder for hold in all_holds(tx) if hold.holder.startswith(("event ", "publication "))])
    assert list(check_objects(context)) == []
    shutil.copytree(context.paths.objects, tmp_path / "backup")
    lost = lose_what_only(old, suite.state().revision, context)
    assert HELLO.sha256 in lost
    found_again(
        suite, tmp_path / "backup", lost, "snapshot petrel/" if of == "snapshot" else "undo of suite petrel/devel"
    )


# Recorded archives


def recorded(folder: Path, pool: PoolChoice | None = None) -> RecordedArchive:
    upstream = Upstream()
    upstream.add(HELLO, make_source("hello"))
    upstream.publish(DATE)
    archive = recorded_archive(folder, upstream)
    archive.record(pool)
    return archive


def lose(archive: RecordedArchive, digest: Sha256) -> None:
    archive.context.objects.local_path(digest).unlink()


def indexes_of(archive: RecordedArchive) -> dict[str, Sha256]:
    with archive.context.database.read() as tx:
        (row,) = list_snapshots(tx)
    suite = parse_snapshot(archive.context.objects.read(row.digest)).suites["stable"]
    return {index.path: index.sha256 for index in suite.indexes} | {
        "InRelease": suite.inrelease, "Release": suite.release, "document": row.digest,
    }  # fmt: skip


def no_copies(_archive: str) -> list[str]:
    return []


def mirrors(archive: str) -> list[str]:
    return [MIRROR] if archive == "debian" else []


@pytest.mark.parametrize(
    "pool", [None, PoolChoice(), PoolChoice(("hello",), is_filtered=True)], ids=["lazy", "full", "filtered"]
)
def test_a_sound_recorded_archive_has_no_damage(tmp_path: Path, pool: PoolChoice | None) -> None:
    archive = recorded(tmp_path / "state", pool)
    assert list(check_recorded(archive.context, "debian")) == list(check_objects(archive.context)) == []


@pytest.mark.parametrize("pool", [None, PoolChoice(), PoolChoice(("hello",))], ids=["lazy", "full", "listed"])
def test_every_file_of_a_record_that_is_lost_is_named_and_comes_back_from_upstream_by_its_hash(
    tmp_path: Path, pool: PoolChoice | None
) -> None:
    archive = recorded(tmp_path / "state", pool)
    files = indexes_of(archive)
    document = files.pop("document")
    for digest in files.values():
        lose(archive, digest)
    archive.upstream.add(make_deb("world"))
    archive.upstream.publish(DATE)  # the lists are gone from their paths, not yet by hash
    if pool is not None:
        lose(archive, HELLO.sha256)
    found = list(check_recorded(archive.context, "debian"))
    lost = {*files.values(), *([HELLO.sha256] if pool else [])}
    assert {damage.digest for damage in found} == lost
    told = tell(archive.context, found, was_mended=False)
    assert {one.hint for one in told} == {"distwright archive fsck --repair"}
    assert {one.thing for one in told} >= {f"dists/stable/{path} of debian" for path in files}
    left = repair(archive.context, found, mirrors, [])
    assert {damage.digest for damage in left} == {files["InRelease"], files["Release"]}, "these have no names by hash"
    assert document not in lost
    hints = {one.hint for one in tell(archive.context, left, was_mended=True)}
    assert all("--from DIR|URL" in hint for hint in hints)


def test_a_document_that_rotted_is_named_and_ends_no_check(tmp_path: Path) -> None:
    archive = recorded(tmp_path / "state")
    backup = tmp_path / "backup"
    shutil.copytree(archive.context.paths.objects, backup)
    document = indexes_of(archive)["document"]
    rot(archive.context, document)
    assert list(check_recorded(archive.context, "debian")) == [Damage("it cannot be read", document)]
    (told,) = tell(archive.context, list(check_objects(archive.context)), was_mended=True)
    assert told.thing.endswith("(recorded of snapshot debian/2024011001)"), told.thing
    assert repair(archive.context, [told.damage], no_copies, [backup]) == []
    assert list(check_recorded(archive.context, "debian")) == []


def test_a_copy_may_be_served_far_away(tmp_path: Path) -> None:
    archive = recorded(tmp_path / "state", PoolChoice())
    lose(archive, HELLO.sha256)
    found = list(check_recorded(archive.context, "debian"))
    assert repair(archive.context, found, no_copies, []) != []
    assert repair(archive.context, found, no_copies, [MIRROR]) == []
    assert list(check_recorded(archive.context, "debian")) == []


@pytest.mark.parametrize("copy", ["pool", "public", "address"])
def test_a_package_of_ours_comes_back_from_any_pool_that_has_it(suite: OwnSuite, tmp_path: Path, copy: str) -> None:
    place = tmp_path / "copy" / ("petrel" if copy == "public" else "")
    shutil.copytree(suite.archive / "pool", place / "pool")
    deb = suite.archive / HELLO.pool_path()
    rot(suite.context, HELLO.sha256)
    found = list(check_objects(suite.context))
    (told,) = tell(suite.context, found, was_mended=False)
    assert told.thing == f"{HELLO.pool_path()} of petrel"
    assert isinstance(suite.context.fetcher, UpstreamFetcher)
    suite.context.fetcher.upstreams = {"http://far.example/petrel": Upstream(files={HELLO.pool_path(): HELLO.content})}
    given: Path | str = "http://far.example/petrel" if copy == "address" else tmp_path / "copy"
    assert repair(suite.context, found, no_mirrors, [given]) == []
    assert repair(suite.context, list(check_archive(suite.context, "petrel")), no_mirrors, []) == []
    assert deb.read_bytes() == HELLO.content


def test_a_part_of_a_package_tree_is_named_by_its_suite(suite: OwnSuite) -> None:
    root = parse_root(suite.context.objects.read(suite.state().revision))
    (leaf,) = root.lists["main/binary-amd64"]
    rot(suite.context, leaf.digest)
    (told,) = tell(suite.context, list(check_objects(suite.context)), was_mended=True)
    assert "packages from hello on of main/binary-amd64 of petrel/devel" in told.thing
    lose_root = suite.state().revision
    suite.context.objects.local_path(lose_root).unlink()
    assert Damage("it is lost", lose_root) in list(check_archive(suite.context, "petrel"))


def test_an_index_of_ours_can_be_made_again(suite: OwnSuite) -> None:
    index = suite.archive / "dists/devel/main/binary-amd64/Packages.xz"
    digest = sha256_of(index.read_bytes())
    rot(suite.context, digest)
    (told,) = tell(suite.context, list(check_objects(suite.context)), was_mended=True)
    assert (told.thing, told.hint.partition(",")[0]) == (
        "dists/devel/main/binary-amd64/Packages.xz of petrel", "distwright suite publish petrel/devel --again",
    )  # fmt: skip


@pytest.mark.parametrize("what", ["everything", "the pool", "an index by hash"])
def test_a_tagged_snapshot_is_laid_out_again(tmp_path: Path, what: str) -> None:
    archive = recorded(tmp_path / "state", PoolChoice())
    manifest = canonical_json({"format": 1, "image": "x", "states": {}, "packages": [], "mentioned": ["hello"]})
    tag_snapshots(TagRequest(("debian",), "one", manifest), archive.context)
    root = archive.context.paths.public / "debian"
    assert list(check_recorded(archive.context, "debian")) == []
    if what == "everything":
        shutil.rmtree(root / "snapshots" / "one")
    elif what == "the pool":
        (root / "snapshots" / "one" / "pool").unlink()
    else:
        next((root / "dists" / ".by-hash").rglob("SHA256/*")).unlink()
    found = list(check_recorded(archive.context, "debian"))
    assert [damage.what for damage in found] == ["it is not served"]
    assert repair(archive.context, found, no_copies, []) == []
    assert list(check_recorded(archive.context, "debian")) == []
    assert archive.read(f"snapshots/one/{HELLO.pool_path()}") == HELLO.content
