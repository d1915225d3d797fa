"""Publishing: a complete, signed tree behind one name; what was published before stays reachable by its hash."""

from pathlib import Path

import pytest
from tests.worlds.archive import DAY, make_deb, make_source, signer
from tests.worlds.client import see_suite
from tests.worlds.keys import joint_signer
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.changing import SuiteChange, move
from distwright.archive.garbage import collect
from distwright.errors import Refused
from distwright.formats.release import parse_release
from distwright.model.digests import Sha256, sha256_of
from distwright.model.events import EventKind
from distwright.store.holds import all_holds
from distwright.store.objects import FileObjects
from distwright.store.suites import move_suite


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    return own_suite(tmp_path)


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_published_suite_is_a_tree_that_any_client_can_read(suite: OwnSuite) -> None:
    row = suite.publish(suite.version("1.0"))
    assert (row.id, row.state, row.at) == (1, "live", suite.context.clock)
    assert suite.see().packages == ["hello 1.0", "world 1.0"]
    dists = suite.archive / "dists" / "devel"
    assert [path.name for path in sorted(dists.iterdir())] == ["InRelease", "Release", "Release.gpg", "main"]
    assert names_below((dists / "main").resolve()) == [
        *(f"binary-amd64/Packages{ending}" for ending in (".gz", ".xz", ".zst")),
        *(f"source/Sources{ending}" for ending in (".gz", ".xz", ".zst")),
    ]  # fmt: skip
    assert names_below(suite.archive / "pool") == [
        "main/h/hello/hello_1.0.dsc", "main/h/hello/hello_1.0.tar.gz", "main/h/hello/hello_1.0_amd64.deb",
        "main/w/world/world_1.0_all.deb",
    ]  # fmt: skip
    assert (suite.archive / "pool/main/h/hello/hello_1.0_amd64.deb").stat().st_nlink == 2


def test_release_says_what_the_suite_is_and_when_it_was_published(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    release = parse_release(suite.see().release.encode())
    assert (release.origin, release.label, release.suite, release.codename) == ("Petrel", "Petrel", "devel", "devel")
    assert (release.date, release.valid_until) == (suite.context.clock, None)
    assert (release.architectures, release.components, release.acquire_by_hash) == (("amd64",), ("main",), True)


def test_an_empty_suite_is_published_with_empty_indexes(suite: OwnSuite) -> None:
    suite.publish(suite.hold())
    assert suite.see().indexes == {"main/binary-amd64/Packages": b"", "main/source/Sources": b""}


def test_the_event_says_what_is_served_and_what_the_upload_brought(suite: OwnSuite) -> None:
    row = suite.publish(suite.version("1.0"), added=("hello", "world"))
    [event] = suite.context.events()
    assert (event.kind, event.subject) == (EventKind.SUITE_PUBLISHED, "petrel/devel")
    assert event.body == {
        "archive": "petrel", "suite": "devel", "revision": row.revision, "publication": 1, "tree": row.tree,
        "added": ["hello", "world"],
    }  # fmt: skip


def test_the_same_revision_is_published_once(suite: OwnSuite) -> None:
    revision = suite.version("1.0")
    first = suite.publish(revision)
    before = names_below(suite.archive)
    suite.context.clock += DAY
    assert suite.publish(revision) == first
    assert (names_below(suite.archive), len(suite.context.events())) == (before, 1)


def test_what_ends_soon_is_signed_anew_though_it_is_the_same_revision(suite: OwnSuite) -> None:
    suite.fields = {"Valid-Days": "9"}
    revision = suite.version("1.0")
    first = suite.publish(revision)
    suite.context.clock += 5.9 * DAY
    assert suite.publish(revision) == first
    suite.context.clock += 0.2 * DAY
    assert suite.publish(revision).id == 2
    release = parse_release(suite.see().release.encode())
    assert (release.date, release.valid_until) == (suite.context.clock, suite.context.clock + 9 * DAY)
    suite.context.clock += 20 * DAY  # past its end
    assert suite.publish(revision).id == 3


def test_a_second_publish_keeps_the_files_of_the_first_by_their_hash(suite: OwnSuite) -> None:
    first = suite.version("1.0")
    suite.publish(first)
    seen = suite.see()
    served = {path: entry.sha256 for path, entry in parse_release(seen.release.encode()).indexes.items()}
    served = {path: digest for path, digest in served.items() if path.endswith((".gz", ".xz", ".zst"))}
    second = suite.version("2.0")
    suite.publish(second)
    assert suite.see().packages == ["hello 2.0", "world 1.0"]
    assert suite.publications() == [(1, first, "retired"), (2, second, "live")]
    for path, digest in served.items():
        by_hash = suite.archive / "dists" / "devel" / path
        assert sha256_of((by_hash.parent / "by-hash" / "SHA256" / digest).read_bytes()) == digest
    assert all((suite.archive / path).read_bytes() == content for path, content in seen.pool.items())


def test_what_was_published_is_held_until_it_is_collected(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    row = suite.publish(suite.version("2.0"))
    with suite.context.database.read() as tx:
        holds = [hold for hold in all_holds(tx) if hold.holder.startswith("publication")]
    assert {hold.holder for hold in holds} == {"publication 1", "publication 2"}
    assert {(hold.reason, hold.target) for hold in holds if hold.holder == "publication 2"} == {
        ("tree", row.tree), ("state", row.revision),
    }  # fmt: skip


def test_going_back_to_an_earlier_state_of_the_suite_publishes_it_again(suite: OwnSuite) -> None:
    revision = suite.version("1.0")
    suite.publish(revision)
    suite.publish(suite.version("2.0"))
    assert suite.version("1.0") == revision
    assert suite.publish(revision).id == 3
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_a_publish_that_comes_late_does_not_take_the_suite_back(suite: OwnSuite) -> None:
    """A job that was retried, or ran twice, after a newer revision went out."""
    old = suite.version("1.0")
    new = suite.version("2.0")
    suite.publish(old)
    row = suite.publish(new)
    assert suite.publish(old) == row
    assert suite.see().packages == ["hello 2.0", "world 1.0"]
    assert suite.context.lines == [f"petrel/devel has moved on to {new.short}; {old.short} is not published any more"]


def stepped(suite: OwnSuite, version: str) -> Sha256:
    """Move the suite as changes do, with a step that is kept; give the revision."""
    before = suite.state()
    revision = suite.version(version)
    with suite.context.database.write() as tx:
        move_suite(tx, suite.state(), before.revision, suite.context.clock)
        move(tx, before, revision, SuiteChange("add", version, "user anna"), suite.context)
    return revision


def test_a_publish_that_comes_late_stays_away_while_a_newer_state_waits_too(suite: OwnSuite) -> None:
    """2.0 is served and 3.0 accepted: clients that have 2.0 must not get 1.0, whatever job runs once more."""
    empty = suite.state().revision
    first, second, third = (stepped(suite, version) for version in ("1.0", "2.0", "3.0"))
    suite.publish(first)
    row = suite.publish(second)
    assert [suite.publish(late) for late in (first, empty)] == [row, row]
    assert suite.see().packages == ["hello 2.0", "world 1.0"]
    suite.publish(third)
    assert suite.see().packages == ["hello 3.0", "world 1.0"]


def test_a_state_that_a_suite_came_back_to_may_be_published_though_the_suite_went_on(suite: OwnSuite) -> None:
    first, second, again, _ = (stepped(suite, version) for version in ("1.0", "2.0", "1.0", "3.0"))
    suite.publish(second)
    assert suite.publish(again).revision == first
    assert suite.publish(second).revision == first


def test_two_revisions_that_wait_go_out_in_their_order(suite: OwnSuite) -> None:
    old = suite.version("1.0")
    new = suite.version("2.0")
    assert [suite.publish(old).id, suite.publish(new).id] == [1, 2]
    assert [event.body["revision"] for event in suite.context.events()] == [old, new]


def test_suites_of_one_archive_share_the_pool_and_nothing_else(suite: OwnSuite, tmp_path: Path) -> None:
    topic = own_suite(tmp_path, "topic", suite.context)
    suite.publish(suite.version("1.0"))
    topic.publish(topic.hold(make_deb("hello", "1.0"), make_deb("more")))
    suite.publish(suite.version("2.0"))
    assert topic.see().packages == ["hello 1.0", "more 1.0"]
    assert suite.see().packages == ["hello 2.0", "world 1.0"]


def test_a_pool_file_that_is_published_with_other_content_stops_the_publish_and_the_old_state_stays(
    suite: OwnSuite,
) -> None:
    suite.publish(suite.version("1.0"))
    other = suite.hold(make_deb("hello", "1.0", depends="other"), make_source("hello", "1.0"))
    with pytest.raises(Refused, match=r"hello_1\.0_amd64\.deb is published with other content"):
        suite.publish(other)
    assert suite.see().packages == ["hello 1.0", "world 1.0"]
    revision = suite.version("2.0")
    suite.publish(revision)
    assert [state for _, _, state in suite.publications()] == ["retired", "discarded", "live"]


def test_a_suite_may_change_its_key(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    suite.key = "another"
    suite.publish(suite.version("2.0"))
    assert suite.see().packages == ["hello 2.0", "world 1.0"]
    with pytest.raises(Refused, match="InRelease has no valid signature"):
        see_suite(suite.archive, "devel", signer("petrel").certificate())


def test_same_revision_is_published_again_when_the_archive_has_other_lists(suite: OwnSuite) -> None:
    """It got an architecture, or a component: its clients wait for lists, even empty ones."""
    revision = suite.version("1.0")
    suite.publish(revision)
    before = suite.lists
    for lists in ((*before, "main/binary-arm64"), before):
        suite.lists = lists
        suite.publish(revision)
        release = parse_release(suite.see().release.encode())
        assert ("arm64" in release.architectures) is (lists != before)
    assert suite.publish(revision).id == 3


def test_codename_that_is_another_suite_is_refused_before_anything_is_signed(suite: OwnSuite, tmp_path: Path) -> None:
    stable = own_suite(tmp_path, "stable", suite.context)
    stable.publish(stable.version("1.0"))
    suite.fields = {"Codename": "stable"}
    with pytest.raises(Refused, match="stable is a suite of its own"):
        suite.publish(suite.version("1.0"))
    assert suite.publications() == []
    assert stable.see().packages == ["hello 1.0", "world 1.0"]


def test_of_two_suites_that_claim_a_codename_the_one_published_last_has_it(suite: OwnSuite, tmp_path: Path) -> None:
    """At a release the name goes on; the suite that had it may be looked at, and collected around, before it is published again."""
    stable = own_suite(tmp_path, "stable", suite.context)
    second = suite.archive / "dists" / "petrel-2"
    for named in (suite, stable):
        named.fields = {"Codename": "petrel-2"}
        named.publish(named.version("1.0"))
        assert second.readlink() == Path(named.name)
    suite.publish(suite.version("1.0"))
    collect(suite.context, ["petrel"], really=True)
    assert second.readlink() == Path("stable")
    second.unlink()  # as if the publish had been cut off there
    second.symlink_to("devel")
    stable.publish(stable.version("1.0"))
    assert second.readlink() == Path("stable")


def test_release_names_its_keys_if_it_is_asked_to(suite: OwnSuite) -> None:
    suite.signed_by = joint_signer("petrel")
    suite.fields = {"Names-Keys": "yes"}
    suite.publish(suite.version("1.0"))
    release = parse_release((suite.archive / "dists/devel/Release").read_bytes())
    assert release.signed_by == tuple(key.upper() for key in suite.signed_by.fingerprints)
    assert len(release.signed_by) == 2


def test_the_public_tree_has_no_link_that_leaves_it_and_nothing_half_made(suite: OwnSuite) -> None:
    suite.publish(suite.version("1.0"))
    suite.publish(suite.version("2.0"))
    links = [path for path in suite.archive.rglob("*") if path.is_symlink()]
    assert links
    for link in links:
        assert not link.readlink().is_absolute()
        assert link.resolve().is_relative_to(suite.archive.resolve())
    assert [path.name for path in (suite.archive / "dists").iterdir() if path.name.startswith(".new")] == []
    assert not [path for path in suite.archive.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]


def test_what_is_served_under_another_name_already_is_not_linked_again(suite: OwnSuite, tmp_path: Path) -> None:
    """A snapshot, or a branch, costs the same for one package and for fifty thousand."""
    revision = suite.version("1.0")
    suite.publish(revision)
    placed: list[Path] = []
    objects = suite.context.objects

    class Counting(FileObjects):
        def place(self, digest: Sha256, target: Path) -> None:
            placed.append(target)
            super().place(digest, target)

    suite.context.objects = Counting(suite.context.paths.objects)
    topic = own_suite(tmp_path, "topic", suite.context)
    assert topic.version("1.0") == revision
    topic.publish(revision)
    suite.context.objects = objects
    assert {path.name for path in placed} == {"InRelease", "Release", "Release.gpg"}
    assert topic.see().packages == suite.see().packages
