"""What is held stays, what nobody needs goes in two steps, and whoever asks in time has it back."""

import lzma
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, DAY, MadeDeb, Upstream, make_deb, make_source, make_upload, signer
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.recorded import recorded_archive
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.adding import add_packages
from distwright.archive.changing import UNDO_STEPS
from distwright.archive.garbage import FRESH, GRACE, collect, mark, names_in
from distwright.archive.own_snapshots import drop_snapshots, publish_snapshot, take_snapshot
from distwright.archive.resolve import accept_order
from distwright.archive.suites import Who, remove_packages, reset_suite
from distwright.archive.uploads import accept_upload
from distwright.errors import NotFound, Refused
from distwright.model.digests import Sha256, sha256_of
from distwright.store.holds import all_holds, drop_holds, holds_on_all, object_hold, replace_holds, serial_hold
from distwright.store.objects import FileObjects


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    context = make_context(tmp_path)
    context.objects = FileObjects(context.paths.objects)
    return context


@pytest.fixture
def suite(context: WorldContext, tmp_path: Path) -> OwnSuite:
    return own_suite(tmp_path, context=context)


def upload(context: WorldContext, version: str) -> None:
    made = make_upload(make_source("greeter", version), make_deb("greeter", version))
    changes, files = made.keep(context.objects)
    order = accept_order(
        context.config, "devel", changes=changes, files=files, source="greeter", version=version,
        signers=signer("uploader").certificate(),
    )  # fmt: skip
    with context.database.write() as tx:
        replace_holds(tx, "job 1", holds_on_all(order.inputs), context.clock)  # as if it were queued
    accept_upload(context, order.inputs)


def later(context: WorldContext, days: float) -> None:
    """Let time pass, far ahead of the times that files of this test have."""
    context.clock += timedelta(days=days)


def read_events(context: WorldContext) -> None:
    """Let go of what events hold until all of them have been read."""
    with context.database.write() as tx:
        drop_holds(tx, [hold.holder for hold in all_holds(tx) if hold.holder.startswith("event ")])


def far_ahead(context: WorldContext) -> None:
    newest = max((context.objects.touched_at(digest) for digest in context.objects.digests()), default=context.clock)
    context.clock = max(context.clock, newest + FRESH + DAY)


def test_what_is_held_and_all_that_it_names_stays(context: WorldContext, suite: OwnSuite) -> None:
    upload(context, "1.0")
    suite.publish(suite.state().revision)
    far_ahead(context)
    before = set(context.objects.digests())
    done = collect(context, ["petrel"], really=True)
    assert (done.objects, done.pool, done.publications) == (1, 0, 0)
    assert before - set(context.objects.digests()) == {sha256_of(signer("uploader").certificate())}, (
        "each order puts it anew"
    )
    assert suite.see().packages == ["greeter 1.0"]


def test_what_nobody_needs_waits_in_the_trash_and_is_deleted_after_its_grace(context: WorldContext) -> None:
    lost = context.objects.put(b"nobody names me")
    assert collect(context, [], really=True).objects == 0, "it is too fresh: somebody may be about to name it"
    far_ahead(context)
    assert collect(context, [], really=False).objects == 1
    assert context.objects.has(lost)
    assert collect(context, [], really=True).objects == 1
    assert lost not in set(context.objects.digests())
    later(context, GRACE.days + 1)
    done = collect(context, [], really=True)
    assert (done.deleted, done.deleted_bytes) == (1, len(b"nobody names me"))
    with pytest.raises(NotFound):
        context.objects.read(lost)


@pytest.mark.parametrize("asked", ["put", "read", "has", "touch", "place"])
def test_whoever_asks_for_something_in_the_trash_has_it_back(context: WorldContext, tmp_path: Path, asked: str) -> None:
    digest = context.objects.put(b"wanted again")
    context.objects.discard(digest, context.clock.date())
    assert digest not in set(context.objects.digests())
    if asked == "put":
        context.objects.put(b"wanted again")
    elif asked == "place":
        context.objects.place(digest, tmp_path / "there")
    else:
        getattr(context.objects, asked)(digest)
    assert context.objects.read(digest) == b"wanted again"
    assert context.objects.empty_trash((context.clock + 30 * DAY).date()) == (0, 0)


def test_old_publications_and_their_files_go_after_the_grace_and_not_before(
    context: WorldContext, suite: OwnSuite
) -> None:
    old = suite.publish(suite.version("1.0"))
    context.clock += DAY
    suite.publish(suite.version("2.0"))
    pool = suite.archive / "pool/main/h/hello"
    assert collect(context, ["petrel"], really=True).publications == 0
    assert {file.name for file in pool.iterdir()} >= {"hello_1.0_amd64.deb", "hello_2.0_amd64.deb"}
    far_ahead(context)
    later(context, GRACE.days + 1)
    done = collect(context, ["petrel"], really=True)
    assert (done.publications, done.pool) == (1, 3)
    assert sorted(file.name for file in pool.iterdir()) == ["hello_2.0.dsc", "hello_2.0.tar.gz", "hello_2.0_amd64.deb"]
    assert not (suite.archive / "dists/.rev/devel" / str(old.id)).exists()
    assert suite.see().packages == ["hello 2.0", "world 1.0"]
    assert suite.publish(suite.version("1.0")).state == "live"
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def served_files(suite: OwnSuite, number: int) -> dict[Path, bytes]:
    """Read what a client asks for that has read the InRelease of a publication: indexes by hash, and the pool."""
    indexes = (suite.archive / "dists/.rev/devel" / str(number)).glob("*/*/by-hash/SHA256/*")
    return {file: file.read_bytes() for file in (*indexes, *(suite.archive / "pool").rglob("*.deb"))}


def test_a_state_that_was_served_for_long_stays_for_the_whole_grace_after_it_was_replaced(
    context: WorldContext, suite: OwnSuite
) -> None:
    first = suite.publish(suite.version("1.0"))
    far_ahead(context)
    later(context, 30)
    read = served_files(suite, first.id)
    assert len(read) >= 6
    suite.publish(suite.version("2.0"))
    for minutes in (1, GRACE.days * 24 * 60 - 2):
        later(context, minutes / 24 / 60)
        assert collect(context, ["petrel"], really=True).publications == 0
        assert {file: file.read_bytes() for file in read} == read
    later(context, 1)
    assert collect(context, ["petrel"], really=True).publications == 1
    assert [file for file in read if not file.exists()], "it does end"


def test_the_files_of_a_snapshot_stay_for_the_whole_grace_after_it_was_dropped(
    context: WorldContext, suite: OwnSuite
) -> None:
    suite.publish(suite.version("1.0"))
    row = take_snapshot(context, "petrel", ["devel"])
    publish_snapshot(context, "petrel", row.serial)
    suite.publish(suite.version("2.0"))
    far_ahead(context)
    later(context, 30)
    drop_snapshots(context, "petrel", [row.serial])
    deb = suite.archive / "pool/main/h/hello/hello_1.0_amd64.deb"
    later(context, 1)
    collect(context, ["petrel"], really=True)
    assert deb.is_file()
    later(context, GRACE.days)
    collect(context, ["petrel"], really=True)
    assert not deb.exists()


def test_a_pool_file_that_a_later_state_names_again_stays(context: WorldContext, suite: OwnSuite) -> None:
    first = suite.version("1.0")
    suite.publish(first)
    context.clock += DAY
    suite.publish(suite.version("2.0"))
    context.clock += DAY
    suite.publish(suite.version("1.0"))
    far_ahead(context)
    later(context, GRACE.days + 1)
    assert collect(context, ["petrel"], really=True).pool == 3
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_a_published_file_that_no_publication_brought_goes_only_in_a_deep_collection(
    context: WorldContext, suite: OwnSuite
) -> None:
    suite.publish(suite.version("1.0"))
    stray = suite.archive / "pool/main/h/hello/stray_1.0_amd64.deb"
    stray.write_bytes(b"of nobody")
    assert collect(context, ["petrel"], really=True).pool == 0
    assert collect(context, ["petrel"], deep=True, really=False).pool == 1
    assert stray.exists()
    assert collect(context, ["petrel"], deep=True, really=True).pool == 1
    assert not stray.exists()
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_a_snapshot_of_ours_keeps_its_states_until_it_is_dropped(context: WorldContext, suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    row = take_snapshot(context, "petrel", ["devel"])
    publish_snapshot(context, "petrel", row.serial)
    context.clock += DAY
    suite.publish(suite.version("2.0"))
    far_ahead(context)
    later(context, GRACE.days + 1)
    collect(context, ["petrel"], really=True)
    frozen = suite.archive / "snapshots" / row.serial
    assert (frozen / "pool/main/h/hello/hello_1.0_amd64.deb").is_file()
    drop_snapshots(context, "petrel", [row.serial])
    assert not frozen.exists()
    far_ahead(context)
    later(context, GRACE.days + 1)
    assert collect(context, ["petrel"], really=True).pool == 3


def test_a_snapshot_that_somebody_holds_is_not_dropped_and_who_is_said(context: WorldContext, suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    row = take_snapshot(context, "petrel", [])
    with context.database.write() as tx:
        replace_holds(tx, "release 1.0", [serial_hold("", "petrel", row.serial, "was made of it")], context.clock)
    with pytest.raises(Refused, match=rf"{row.serial} is needed by release 1\.0: was made of it"):
        drop_snapshots(context, "petrel", [row.serial])


@pytest.fixture
def left(context: WorldContext, suite: OwnSuite, tmp_path: Path) -> Sha256:
    """Change the suite until nothing holds its first state any more, and collect; give that state."""

    def add(deb: MadeDeb) -> None:
        (tmp_path / deb.file_name).write_bytes(deb.content)
        add_packages(
            context, "petrel", "devel", [str(tmp_path / deb.file_name)], link=False, actor="user ada", reason=""
        )

    add(make_deb("hello", "1.0"))
    first = suite.state().revision
    remove_packages(context, "petrel", "devel", ["hello"], Who("user ada"), dry_run=False)
    for number in range(UNDO_STEPS):
        add(make_deb("world", f"1.{number}"))
    read_events(context)
    far_ahead(context)
    collect(context, ["petrel"], really=True)
    assert FIRST in set(context.objects.discarded())
    return first


FIRST = make_deb("hello", "1.0").sha256


def reset(context: WorldContext, state: Sha256) -> None:
    reset_suite(context, "petrel", "devel", state, Who("user ada"), action="reset", downgrades=True, dry_run=False)


def test_a_suite_that_goes_back_to_a_state_in_the_trash_has_all_of_it_back(
    context: WorldContext, suite: OwnSuite, left: Sha256
) -> None:
    reset(context, left)
    assert set(context.objects.discarded()) & mark([left], context.objects) == set()
    later(context, GRACE.days + 1)
    collect(context, ["petrel"], really=True)
    suite.publish(left)
    assert suite.see().packages == ["hello 1.0"]


def test_a_state_of_which_something_is_gone_is_refused_by_name(
    context: WorldContext, suite: OwnSuite, left: Sha256
) -> None:
    before = suite.state()
    assert context.objects.read(left)
    for leaf in names_in(left, context.objects):
        assert context.objects.has(leaf)
    context.objects.empty_trash((context.clock + 30 * DAY).date())
    with pytest.raises(Refused, match=rf"not whole any more:\n  pool/main/h/hello/hello_1.0_amd64.deb \({FIRST.short}"):
        reset(context, left)
    assert suite.state() == before


def test_what_is_held_again_and_was_not_asked_for_comes_back_before_the_trash_is_emptied(
    context: WorldContext, left: Sha256
) -> None:
    """Who named it may have looked just before a collector took it."""
    with context.database.write() as tx:
        replace_holds(tx, "release 1.0", [object_hold("", left, "its suite")], context.clock)
    later(context, GRACE.days + 1)
    collect(context, ["petrel"], really=True)
    assert mark([left], context.objects) <= set(context.objects.digests())
    assert FIRST in set(context.objects.digests())


def cached(context: WorldContext, *folders: str) -> set[Sha256]:
    """Give the objects from which something was derived that lies below these folders of the cache."""
    places = [context.paths.cache / folder for folder in folders]
    files = [(file, place) for place in places for file in place.rglob("*") if file.is_file()]
    return {Sha256(str(file.relative_to(place)).replace("/", "")) for file, place in files}


LISTS = ("contents/runs", "contents/names")


def test_lists_of_files_go_with_the_states_that_they_were_made_for(context: WorldContext, suite: OwnSuite) -> None:
    suite.contents = True
    suite.publish(suite.version("1.0"))
    old = cached(context, *LISTS)
    context.clock += DAY
    suite.publish(suite.version("2.0"))
    assert {make_deb("hello", "1.0").sha256, make_deb("hello", "2.0").sha256} < cached(context, *LISTS)
    read_events(context)
    far_ahead(context)
    later(context, GRACE.days + 1)
    collect(context, ["petrel"], really=False)
    assert old < cached(context, *LISTS)
    collect(context, ["petrel"], really=True)
    kept = cached(context, *LISTS)
    assert kept <= mark([suite.state().revision], context.objects)
    assert make_deb("hello", "1.0").sha256 not in kept
    suite.publish(suite.hold(make_deb("hello", "1.0"), make_deb("other")))
    assert make_deb("hello", "1.0").sha256 in cached(context, *LISTS), "made again when it is asked for"


def test_pool_indexes_go_with_the_records_that_they_were_made_for(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.add(make_deb("hello"), make_source("hello"))
    upstream.publish(DATE)
    archive = recorded_archive(tmp_path, upstream)
    context = archive.context
    context.objects = FileObjects(context.paths.objects)
    first = archive.record()
    before = cached(context, "pool")
    upstream.add(make_deb("world"))
    upstream.publish(DATE + DAY)
    archive.record()
    both = cached(context, "pool")
    far_ahead(context)
    collect(context, [], really=True)
    assert cached(context, "pool") == both > before
    drop_snapshots(context, "debian", [first.row.serial])
    read_events(context)
    collect(context, [], really=True)
    left = cached(context, "pool")
    assert both - before <= left < both
    archive.cut_off()
    assert b"Package: world" in lzma.decompress(archive.read("dists/stable/main/binary-amd64/Packages.xz"))


def test_what_is_young_in_the_cache_stays_and_what_a_killed_writer_left_goes(context: WorldContext) -> None:
    cache, digest = context.paths.cache, sha256_of(b"of nobody")
    files = [
        cache / "pool" / digest, cache / "pool" / f"{digest}.{os.getpid()}-34", cache / "contents/runs" / digest[:2] / digest[2:],
        cache / "contents/names" / digest[:2] / f"{digest[2:]}.{os.getpid()}", cache / "contents/merge-x/run", cache / "closures/k",
    ]  # fmt: skip
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    context.clock = datetime.now(UTC)
    collect(context, [], really=True)
    assert [file for file in files if not file.exists()] == []
    later(context, 2)
    collect(context, [], really=True)
    assert [file for file in files if file.exists()] == [cache / "closures/k"]
    later(context, 31)
    collect(context, [], really=True)
    assert [file for file in files if file.exists()] == []


def test_mark_follows_names_through_documents_and_leaves(context: WorldContext, suite: OwnSuite) -> None:
    revision = suite.version("1.0")
    marked = mark([revision], context.objects)
    assert make_deb("hello", "1.0").sha256 in marked
    assert make_deb("world", architecture="all").sha256 in marked
    assert {Sha256(digest) for digest in marked} <= set(context.objects.digests())
    with context.database.read() as tx:
        assert all_holds(tx) == []
