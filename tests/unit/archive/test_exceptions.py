"""A package that is let into a frozen suite comes whole, stays while it is needed, and goes by itself."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, DAY, Upstream, make_deb, make_source
from tests.worlds.installation import WorldContext
from tests.worlds.recorded import RecordedArchive, recorded_archive
from tests.worlds.repos import commit
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.exceptions import ExceptionRequest, LetIn, let_in
from distwright.archive.pins import pin_path
from distwright.archive.suites import (
    Who,
    branch_suite,
    merge_suite,
    packages_of,
    remove_packages,
    set_sealed,
    undo_change,
)
from distwright.archive.tidying import judge_suite, packages_of_exceptions, tidy_suite
from distwright.archive.tree import list_text, parse_root
from distwright.errors import BadUsage, DistwrightError, Lost, NotFound, Refused
from distwright.model.records import FreezeException
from distwright.store.exceptions import list_exceptions
from distwright.store.suites import get_suite, list_revisions

WHO = Who("user ada")
HELLO = (
    make_deb("hello", "2.0", depends="libhello"),
    make_deb("libhello", "1:3.0", source="hello (2.0)"),
    make_deb("hello-doc", "2.0", architecture="all", source="hello"),
)
SOURCE = make_source("hello", "2.0", binaries=("hello", "libhello", "hello-doc", "hello-s390x"))
OLD_HELLO = (make_deb("hello", "1.0"), make_deb("hello-old", "1.0", source="hello"), make_source("hello", "1.0"))
WORLD = (make_deb("world"), make_source("world"))
REQUEST = ExceptionRequest("petrel", "frozen", "hello", "2.0", "petrel/next", "a crash at start", "user ada")


class Suites:
    """`stable` with an old hello, the empty overlay `frozen` above it, and `next` with the new hello."""

    def __init__(self, folder: Path, context: WorldContext | None = None, *, has_next: bool = True) -> None:
        self.stable = own_suite(folder, "stable", context)
        self.context = self.stable.context
        self.stable.hold(*OLD_HELLO, *WORLD)
        self.next = own_suite(folder, "next", self.context)
        if has_next:
            self.next.hold(*HELLO, SOURCE, *WORLD)
        branch_suite(self.context, "petrel", "frozen", "stable", "overlay", WHO)

    def let_in(self, **changed: str) -> LetIn:
        return let_in(replace(REQUEST, **changed), self.context, dry_run=False)

    def try_in(self, **changed: str) -> LetIn:
        return let_in(replace(REQUEST, **changed), self.context, dry_run=True)

    def versions(self, suite: str = "frozen") -> dict[str, str]:
        with self.context.database.read() as tx:
            row = get_suite(tx, "petrel", suite)
        return {f"{name}{'/source' if '/source' in kind else ''}": version
                for kind, name, version in packages_of(self.context.objects, row)}  # fmt: skip

    def exceptions(self, *, ended: bool = False) -> list[FreezeException]:
        with self.context.database.read() as tx:
            return list_exceptions(tx, "petrel", "frozen", ended=ended)

    def tidy(self, *, dry_run: bool = False) -> list[str]:
        return [one.why for one in tidy_suite(self.context, "petrel", "frozen", "user ada", dry_run=dry_run)]


@pytest.fixture
def suites(tmp_path: Path) -> Suites:
    return Suites(tmp_path)


ALL = {"hello": "2.0", "libhello": "1:3.0", "hello-doc": "2.0", "hello/source": "2.0"}


def test_a_source_comes_with_all_that_was_built_from_it_and_says_who_and_why(suites: Suites) -> None:
    tried = suites.try_in()
    assert (suites.versions(), suites.exceptions()) == ({}, [])
    done = suites.let_in()
    assert done.changes == tried.changes
    assert {change.name for change in done.changes} == {"hello", "libhello", "hello-doc"}
    assert done.missing == ("hello-s390x",)
    assert suites.versions() == ALL
    [row] = suites.exceptions()
    assert (row.origin, row.base, row.reason, row.actor) == (
        "petrel/next",
        "petrel/stable",
        "a crash at start",
        "user ada",
    )
    [verdict] = judge_suite(suites.context, "petrel", "frozen")
    assert (verdict.is_needed, verdict.why) == (True, "petrel/stable has 1.0")
    with suites.context.database.read() as tx:
        step = list_revisions(tx, "petrel", "frozen")[0]
    assert (step.action, step.actor) == ("exception", "user ada")
    assert step.reason == "hello 2.0 from petrel/next: a crash at start"
    assert packages_of_exceptions(suites.context, [row]) == {row.id: ["hello-doc", "hello", "libhello"]}


def test_it_goes_by_itself_once_the_base_has_it_and_leaves_nothing_that_takes_it_from_the_base(suites: Suites) -> None:
    suites.let_in()
    assert suites.tidy() == []
    merge_suite(suites.context, "petrel", "stable", "next", WHO, dry_run=False)
    assert suites.tidy(dry_run=True) == ["petrel/stable has 2.0"]
    assert suites.versions() == ALL
    assert suites.tidy() == ["petrel/stable has 2.0"]
    assert (suites.versions(), suites.exceptions(), suites.tidy()) == ({}, [], [])
    [over] = suites.exceptions(ended=True)
    assert (over.ended_why, over.ended_at) == ("petrel/stable has 2.0", suites.context.clock)
    merge_suite(suites.context, "petrel", "stable", "frozen", WHO, dry_run=False)
    assert suites.versions("stable")["hello"] == "2.0"
    with suites.context.database.read() as tx:
        revision = get_suite(tx, "petrel", "frozen").revision
    assert parse_root(suites.context.objects.read(revision)).tombstones == ()


def test_of_a_suite_with_packages_of_its_own_the_old_ones_of_the_source_go(suites: Suites) -> None:
    merge_suite(suites.context, "petrel", "frozen", "stable", WHO, dry_run=False)
    suites.let_in(base="petrel/stable")
    assert suites.versions() == {**ALL, "world": "1.0", "world/source": "1.0"}
    undo_change(suites.context, "petrel", "frozen", WHO, dry_run=False)
    assert suites.versions()["hello-old"] == "1.0"
    assert suites.tidy() == ["frozen has 1.0 by now"]
    assert suites.versions()["hello-old"] == "1.0"


def test_it_is_over_when_its_packages_were_removed_or_another_version_was_let_in(suites: Suites) -> None:
    suites.let_in()
    remove_packages(suites.context, "petrel", "frozen", ["hello"], WHO, dry_run=False)
    assert suites.tidy() == ["frozen no longer has it"]
    suites.let_in()
    suites.next.hold(make_deb("hello", "2.1"), make_source("hello", "2.1"))
    suites.let_in(version="2.1")
    assert suites.versions() == {"hello": "2.1", "hello/source": "2.1"}
    assert [row.version for row in suites.exceptions()] == ["2.1"]
    assert [row.ended_why for row in suites.exceptions(ended=True)] == [
        "frozen no longer has it",
        "2.1 was let in",
        None,
    ]


def test_without_a_base_it_stays_until_it_is_removed(suites: Suites) -> None:
    branch_suite(suites.context, "petrel", "1.0", "stable", "release", WHO)
    let_in(replace(REQUEST, suite="1.0"), suites.context, dry_run=False)
    merge_suite(suites.context, "petrel", "stable", "next", WHO, dry_run=False)
    [verdict] = judge_suite(suites.context, "petrel", "1.0")
    assert verdict.is_needed
    assert verdict.why == "nothing is known to be below 1.0: it stays until it is removed"
    assert suites.versions("1.0") == {**ALL, "world": "1.0", "world/source": "1.0"}


def test_of_a_read_only_suite_nothing_is_taken_out(suites: Suites) -> None:
    suites.let_in()
    set_sealed(suites.context, "petrel", "frozen", is_sealed=True)
    merge_suite(suites.context, "petrel", "stable", "next", WHO, dry_run=False)
    assert suites.tidy() == []
    assert suites.versions() == ALL
    suites.next.hold(make_deb("hello", "3.0"), make_source("hello", "3.0"))
    with pytest.raises(Refused, match="petrel/frozen is read-only"):
        let_in(replace(REQUEST, version="3.0"), suites.context, dry_run=False)


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"version": "9"}, Refused, "petrel/next has not hello 9, but 2.0"),
        ({"source": "nothing"}, Refused, "petrel/next has not nothing 2.0: no source of it"),
        ({"origin": "nowhere"}, NotFound, "there is no suite 'nowhere'"),
        ({"origin": "next@12"}, BadUsage, "'next' is no upstream archive"),
        ({"origin": "debian"}, NotFound, "archive debian has no snapshot"),
        ({"base": "petrel/next"}, Refused, "petrel/next has hello 2.0: no exception is needed"),
        ({"base": "petrel/frozen"}, BadUsage, "petrel/frozen cannot be its own base"),
        ({"base": "petrel/nowhere"}, NotFound, "there is no suite 'petrel/nowhere'"),
        ({"base": "debian/stable"}, BadUsage, "'debian/stable' is an upstream archive: a branch says which serial"),
        ({"base": "debian", "branch": "live/stable"}, BadUsage, "'debian' is no suite that moves on"),
        (
            {"branch": "live/stable"},
            BadUsage,
            "a branch says which serial of an upstream base counts, and there is none",
        ),
        ({"reason": " "}, BadUsage, "an exception needs a reason"),
        ({"suite": "nowhere"}, NotFound, "suite nowhere is not in archive petrel"),
    ],
)
def test_what_cannot_be_let_in_is_said_and_nothing_changes(
    suites: Suites, changed: dict[str, str], error: type[DistwrightError], said: str
) -> None:
    for call in (suites.try_in, suites.let_in):
        with pytest.raises(error) as raised:
            call(**changed)
        assert raised.value.message.startswith(said)
    assert (suites.versions(), suites.exceptions(ended=True)) == ({}, [])


def test_a_suite_that_has_it_or_a_newer_one_stays_as_it_is(suites: Suites) -> None:
    suites.let_in()
    with pytest.raises(Refused, match=r"stays as it is:\n.*hello 2.0 is there already"):
        suites.let_in()
    suites.next.hold(make_deb("hello", "1.9"), make_source("hello", "1.9"))
    with pytest.raises(Refused, match=r"hello \(main/binary-amd64\): 2.0 here is newer than 1.9"):
        suites.let_in(version="1.9")
    suites.next.hold(make_deb("hello", "2.0", depends="other"), make_source("hello", "2.0"))
    with pytest.raises(Refused, match=r"hello \(main/binary-amd64\): 2.0 has other content there"):
        suites.let_in()


def test_a_lost_file_of_ours_is_said_before_anything_changes(suites: Suites) -> None:
    suites.context.objects.discard(HELLO[0].sha256, DATE.date())
    suites.context.objects.empty_trash(DATE.date() + DAY)
    with pytest.raises(Lost, match="of petrel/next is lost"):
        suites.let_in()
    assert suites.versions() == {}


# From upstream


@pytest.fixture
def upstream() -> Upstream:
    made = Upstream()
    made.add(*OLD_HELLO[:2], OLD_HELLO[2], *WORLD)
    made.publish(DATE)
    return made


@pytest.fixture
def archive(tmp_path: Path, upstream: Upstream) -> RecordedArchive:
    """The old hello is recorded and pinned by the branch stable; the new one is recorded a day later."""
    archive = recorded_archive(tmp_path / "state", upstream)
    serial = archive.record().row.serial
    commit(archive.context.paths, "live", {pin_path("debian"): f"{serial}\n"}, branch="stable")
    upstream.add(*HELLO, SOURCE)
    upstream.publish(DATE + DAY)
    archive.context.clock = DATE + DAY
    archive.record()
    return archive


FROM_DEBIAN = {"origin": "debian", "base": "debian/stable", "branch": "live/stable"}


def test_from_upstream_its_files_are_fetched_and_it_ends_when_the_branch_is_thawed(
    archive: RecordedArchive, tmp_path: Path
) -> None:
    suites = Suites(tmp_path / "state", archive.context, has_next=False)
    done = suites.let_in(**FROM_DEBIAN)
    assert (done.row.origin, suites.versions()) == ("debian@2024011101", ALL)
    assert all(archive.context.objects.has(deb.sha256) for deb in HELLO)
    [verdict] = judge_suite(archive.context, "petrel", "frozen")
    assert (verdict.is_needed, verdict.why) == (True, "debian/stable@2024011001 has 1.0")
    frozen = OwnSuite(archive.context, "frozen")
    frozen.publish(frozen.state().revision)
    assert frozen.see().packages == ["hello 2.0", "hello-doc 2.0", "libhello 1:3.0"]
    commit(archive.context.paths, "live", {pin_path("debian"): "latest\n"}, branch="stable")
    assert suites.tidy() == ["debian/stable@2024011101 has 2.0"]
    assert suites.versions() == {}


def test_a_serial_and_a_suite_of_upstream_can_be_named(archive: RecordedArchive, tmp_path: Path) -> None:
    suites = Suites(tmp_path / "state", archive.context, has_next=False)
    with pytest.raises(Refused, match=r"debian/stable@2024011001 has not hello 2\.0, but 1\.0"):
        suites.let_in(**{**FROM_DEBIAN, "origin": "debian/stable@2024011001"})
    with pytest.raises(NotFound, match="snapshot 2024011101 of debian has no suite 'nowhere'"):
        suites.let_in(**{**FROM_DEBIAN, "origin": "debian/nowhere"})
    assert suites.let_in(**{**FROM_DEBIAN, "origin": "debian/stable@latest"}).row.origin == "debian/stable@2024011101"


def test_with_a_branch_alone_the_base_is_where_it_comes_from(archive: RecordedArchive, tmp_path: Path) -> None:
    suites = Suites(tmp_path / "state", archive.context, has_next=False)
    assert suites.try_in(origin="debian", branch="live/stable").row.base == "debian/stable"
    with pytest.raises(BadUsage, match="and there is none"):
        let_in(
            replace(REQUEST, suite="stable", origin="debian", version="9", branch="live/stable"),
            archive.context,
            dry_run=True,
        )


def test_long_descriptions_come_along_and_go_with_the_package(archive: RecordedArchive, tmp_path: Path) -> None:
    """The small upstream has Translation-en, with the hash of an empty text for every package."""
    empty = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    archive.upstream.add(make_deb("hello", "2.2", fields={"Description-md5": empty}), make_source("hello", "2.2"))
    archive.upstream.publish(DATE + 2 * DAY)
    archive.context.clock = DATE + 2 * DAY
    archive.record()
    suites = Suites(tmp_path / "state", archive.context, has_next=False)
    suites.let_in(version="2.2", **FROM_DEBIAN)
    frozen = OwnSuite(archive.context, "frozen")
    root = parse_root(archive.context.objects.read(frozen.state().revision))
    assert f"Description-md5: {empty}".encode() in list_text(root, "main/i18n", archive.context.objects.read)
    commit(archive.context.paths, "live", {"README": "thawed"}, branch="stable")
    assert suites.tidy() == ["debian/stable@2024011201 has 2.2"]
    assert parse_root(archive.context.objects.read(frozen.state().revision)).lists == {}


def test_a_branch_that_is_gone_or_pins_nonsense_takes_nothing_out(archive: RecordedArchive, tmp_path: Path) -> None:
    suites = Suites(tmp_path / "state", archive.context, has_next=False)
    suites.let_in(**FROM_DEBIAN)
    for files in ({pin_path("debian"): "soon\n"}, {pin_path("debian"): "2020010101\n"}):
        commit(archive.context.paths, "live", files, branch="stable")
        assert suites.tidy() == []
    [verdict] = judge_suite(archive.context, "petrel", "frozen")
    assert verdict.why == "debian/stable (archive debian has no snapshot 2020010101) does not have it"


def test_what_upstream_no_longer_has_is_refused_and_nothing_changes(archive: RecordedArchive, tmp_path: Path) -> None:
    suites = Suites(tmp_path / "state", archive.context, has_next=False)
    archive.upstream.forget("libhello")
    with pytest.raises(NotFound, match="libhello"):
        suites.let_in(**FROM_DEBIAN)
    assert (suites.versions(), suites.exceptions()) == ({}, [])
