"""Package files added by hand: all of them or none, every problem named, the same again is no change."""

import os
import random
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from tests.worlds.archive import MadeDeb, MadeSource, make_deb, make_source
from tests.worlds.installation import CONFIG
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.adding import Added, add_packages, files_below
from distwright.archive.changing import root_of
from distwright.archive.editing import find_stanzas
from distwright.archive.indexes import pool_of
from distwright.archive.intake import take_deb
from distwright.archive.intake_source import take_source
from distwright.archive.suites import Who, packages_of, remove_packages, set_sealed
from distwright.archive.tree import Tombstone, list_text
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import BadInput, Busy, NotFound, Refused
from distwright.model.digests import Sha256
from distwright.model.events import EventKind
from distwright.model.versions import DebVersion
from distwright.store.suites import find_pool_names, get_suite, list_revisions

HELLO, WORLD = make_deb("hello"), make_deb("world", architecture="all")


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    """Give an empty suite."""
    return own_suite(tmp_path / "state")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give an empty folder for files."""
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def write(place: Path, *packages: MadeDeb | MadeSource) -> None:
    for package in packages:
        files = {package.file_name: package.content} if isinstance(package, MadeDeb) else package.files
        for name, content in files.items():
            (place / name).write_bytes(content)


def add(suite: OwnSuite, *places: Path, link: bool = False) -> Added:
    paths = files_below([str(place) for place in places])
    return add_packages(suite.context, "petrel", suite.name, paths, link=link, actor="user ada", reason="moving in")


def two_architectures() -> Config:
    """Give the small configuration, whose own archive has two."""
    text = CONFIG.replace('kind = "own"', 'kind = "own"\narchitectures = ["amd64", "arm64"]')
    return parse_config([("distwright.toml", text)])


def present(suite: OwnSuite) -> list[tuple[str, str, str]]:
    with suite.context.database.read() as tx:
        return list(packages_of(suite.context.objects, get_suite(tx, "petrel", suite.name)))


def refusal(suite: OwnSuite, *places: Path) -> list[str]:
    """Add, expect to be refused and that nothing has changed; give the problems."""
    before = (suite.publications(), present(suite), len(suite.context.events()))
    with pytest.raises(Refused, match="nothing was added") as caught:
        add(suite, *places)
    assert (suite.publications(), present(suite), len(suite.context.events())) == before
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_packages_and_sources_are_added_with_their_files_and_served(suite: OwnSuite, place: Path) -> None:
    source = make_source("hello")
    write(place, HELLO, WORLD, source)
    done = add(suite, place)
    assert done == Added(done.revision, 3, 0, 0)
    assert present(suite) == [
        ("main/binary-all", "world", "1.0"),
        ("main/binary-amd64", "hello", "1.0"),
        ("main/source", "hello", "1.0"),
    ]
    names = {HELLO.pool_path(): HELLO.sha256, WORLD.pool_path(): WORLD.sha256}
    with suite.context.database.read() as tx:
        assert find_pool_names(tx, "petrel", sorted(names)) == names
        (row,) = list_revisions(tx, "petrel", "devel")
    assert (row.after, row.action, row.actor, row.reason) == (done.revision, "add", "user ada", "moving in")
    (changed,) = [event for event in suite.context.events() if event.kind is EventKind.SUITE_CHANGED]
    assert changed.body["added"] == ["hello", "world"]
    suite.publish(done.revision)
    assert suite.see().packages == ["hello 1.0", "world 1.0"]


def test_the_same_again_is_no_change(suite: OwnSuite, place: Path) -> None:
    write(place, HELLO, make_source("hello"))
    first = add(suite, place)
    assert add(suite, place) == Added(first.revision, 0, 2, 0)
    with suite.context.database.read() as tx:
        assert len(list_revisions(tx, "petrel", "devel")) == 1


def test_files_that_an_upload_brought_are_there_already_whatever_else_it_said_of_them(
    suite: OwnSuite, place: Path
) -> None:
    revision = suite.hold(HELLO, make_source("hello"))
    write(place, HELLO, make_source("hello"))
    assert add(suite, place) == Added(revision, 0, 2, 0)


def test_a_newer_version_replaces_the_one_of_its_name_and_the_newest_of_several_counts(
    suite: OwnSuite, place: Path
) -> None:
    write(place, HELLO)
    add(suite, place)
    write(place, *(make_deb("hello", version) for version in ("1.10", "1.9", "1.10~rc1")))
    done = add(suite, place)
    assert (done.added, done.passed) == (1, 3)
    assert present(suite) == [("main/binary-amd64", "hello", "1.10")]


def test_an_older_version_is_refused(suite: OwnSuite, place: Path) -> None:
    suite.hold(make_deb("hello", "2.0"))
    write(place, HELLO)
    assert refusal(suite, place) == ["hello 1.0 (main/binary-amd64) is older than 2.0, which devel has"]


def test_the_same_version_with_other_content_is_refused_also_if_it_was_removed(suite: OwnSuite, place: Path) -> None:
    write(place, HELLO)
    add(suite, place)
    write(place, make_deb("hello", content={"other": "content"}))
    assert "hello 1.0 (main/binary-amd64) is in devel already, with other content" in refusal(suite, place)
    remove_packages(suite.context, "petrel", "devel", ["hello"], Who("user ada"), dry_run=False)
    assert refusal(suite, place) == ["hello_1.0_amd64.deb is in archive petrel already, with other content"]


def test_every_problem_is_named_and_what_is_good_beside_them_is_not_added(suite: OwnSuite, place: Path) -> None:
    suite.hold(make_deb("older", "2"))
    write(
        place,
        HELLO,
        make_deb("older"),
        make_deb("elsewhere", section="games/net"),
        make_deb("s390", architecture="s390x"),
    )
    (place / "noise.deb").write_bytes(b"noise")
    (place / "cut.deb").write_bytes(HELLO.content[:-9])
    lost = make_source("lost")
    (place / lost.dsc_name).write_bytes(lost.dsc)
    write(place, make_source("wrong"))
    (place / make_source("wrong").tar_name).write_bytes(b"other")
    problems = refusal(suite, place)
    for part in ("noise.deb", "cut.deb", "lost_1.0.tar.gz is not beside it", "wrong_1.0.tar.gz is not the file",
                 "elsewhere 1.0 is for component games", "s390 1.0 is for s390x", "older 1.0 (main/binary-amd64) is"):  # fmt: skip
        assert any(part in problem for problem in problems), part
    assert len(problems) == 7


def test_one_version_with_two_contents_among_the_files_is_refused(suite: OwnSuite, place: Path) -> None:
    for folder, text in (("a", "one"), ("b", "other")):
        (place / folder).mkdir()
        write(place / folder, make_deb("hello", content={"text": text}))
    assert refusal(suite, place) == ["hello 1.0 comes twice with different content (main/binary-amd64)"]


def test_the_same_file_twice_is_once(suite: OwnSuite, place: Path) -> None:
    for folder in ("a", "b"):
        (place / folder).mkdir()
        write(place / folder, HELLO)
    done = add(suite, place)
    assert (done.added, done.passed) == (1, 1)


def test_more_problems_than_anybody_reads_are_counted(suite: OwnSuite, place: Path) -> None:
    for number in range(70):
        (place / f"{number}.deb").write_bytes(b"noise")
    problems = refusal(suite, place)
    assert (len(problems), problems[-1]) == (51, "and 20 more")


def test_nothing_named_and_nothing_found_are_not_found(suite: OwnSuite, place: Path) -> None:
    with pytest.raises(NotFound, match="no packages in what was named"):
        add(suite, place)
    with pytest.raises(NotFound, match="does not exist"):
        add(suite, place / "nothing")


def test_descriptions_of_every_architecture_are_kept(suite: OwnSuite, place: Path) -> None:
    suite.context.config = two_architectures()
    every = make_deb("hello", architecture="arm64", fields={"Description": "here\n One text."})
    amd64 = make_deb("hello", fields={"Description": "there\n Another text."})
    write(place, every, amd64)
    done = add(suite, place)
    with suite.context.database.read() as tx:
        root = root_of(suite.context, get_suite(tx, "petrel", "devel"))
    assert root.revision == done.revision
    texts = list_text(root, "main/i18n", suite.context.objects.read)
    assert (b"One text." in texts, b"Another text." in texts, texts.count(b"Package: hello\n")) == (True, True, 2)


def test_a_package_of_the_installer_goes_into_indexes_of_its_own(suite: OwnSuite, place: Path) -> None:
    (place / "hello-udeb_1.0_amd64.udeb").write_bytes(make_deb("hello-udeb").content)
    add(suite, place)
    with suite.context.database.read() as tx:
        root = root_of(suite.context, get_suite(tx, "petrel", "devel"))
    assert list(root.lists) == ["main/debian-installer/binary-amd64"]
    assert [file.path for file in pool_of(root, suite.context.objects.read)] == [
        "pool/main/h/hello-udeb/hello-udeb_1.0_amd64.udeb"
    ]
    (changed,) = [event for event in suite.context.events() if event.kind is EventKind.SUITE_CHANGED]
    assert changed.body["added"] == [], "apt installs what is named there"


def test_what_comes_back_has_no_tombstone_any_more(suite: OwnSuite, place: Path) -> None:
    write(place, HELLO, WORLD)
    first = add(suite, place)
    remove_packages(suite.context, "petrel", "devel", ["hello"], Who("user ada"), dry_run=False)
    with suite.context.database.read() as tx:
        stones = root_of(suite.context, get_suite(tx, "petrel", "devel")).tombstones
    assert stones == (Tombstone("main/binary-amd64", "hello", DebVersion("1.0")),)
    assert add(suite, place).revision == first.revision


def test_a_package_that_changes_between_all_architectures_and_one_leaves_its_old_home(
    suite: OwnSuite, place: Path
) -> None:
    """apt would take either, and every client another."""
    for_all, for_one = make_deb("hello", architecture="all"), make_deb("hello", version="1.0")
    write(place, for_all)
    add(suite, place)
    for deb, home, left in (
        (for_one, "binary-amd64", "binary-all"),
        (make_deb("hello", version="1.1", architecture="all"), "binary-all", "binary-amd64"),
    ):
        write(place, deb)
        done = add(suite, place / deb.file_name)
        assert (done.added, present(suite)) == (1, [(f"main/{home}", "hello", deb.version)])
        with suite.context.database.read() as tx:
            (stone,) = root_of(suite.context, get_suite(tx, "petrel", "devel")).tombstones
        assert stone == Tombstone(f"main/{left}", "hello", DebVersion("1.0"))
    assert refusal(suite, place / for_one.file_name) == [
        "hello 1.0 (main/binary-amd64) is older than 1.1, which devel has (main/binary-all)"
    ]


def test_a_package_for_all_architectures_takes_the_place_of_those_for_each(suite: OwnSuite, place: Path) -> None:
    suite.context.config = two_architectures()
    write(place, *(make_deb("hello", architecture=name) for name in ("amd64", "arm64")))
    add(suite, place)
    for_all = make_deb("hello", version="2.0", architecture="all")
    write(place, for_all)
    done = add(suite, place)
    assert (done.added, done.passed, present(suite)) == (1, 2, [("main/binary-all", "hello", "2.0")])
    assert add(suite, place / for_all.file_name) == Added(done.revision, 0, 1, 0)


def test_an_old_home_that_an_earlier_version_left_behind_is_left_with_the_next_addition(
    suite: OwnSuite, place: Path
) -> None:
    for_one = make_deb("hello", version="1.1")
    suite.hold(make_deb("hello", architecture="all"), for_one)
    write(place, for_one)
    done = add(suite, place)
    assert (done.unchanged, present(suite)) == (1, [("main/binary-amd64", "hello", "1.1")])


def test_of_a_package_for_all_architectures_and_for_one_the_newer_is_taken(suite: OwnSuite, place: Path) -> None:
    write(place, make_deb("hello", architecture="all"), make_deb("hello", version="1.1"))
    assert (add(suite, place).passed, present(suite)) == (1, [("main/binary-amd64", "hello", "1.1")])
    write(place, make_deb("hello", version="1.1", architecture="all"))
    assert refusal(suite, place) == ["hello 1.1 comes for all architectures and for one"]


def test_linked_files_share_the_bytes_and_become_read_only_and_copied_ones_do_not(suite: OwnSuite, place: Path) -> None:
    write(place, HELLO, WORLD)
    objects = suite.context.paths.objects / "sha256"
    for package, link in ((HELLO, True), (WORLD, False)):
        file = place / package.file_name
        add(suite, file, link=link)
        kept = objects / package.sha256[:2] / package.sha256[2:]
        assert (kept.samefile(file), file.stat().st_mode & 0o222 == 0, kept.stat().st_mode & 0o777) == (
            link,
            link,
            0o444,
        )


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
@pytest.mark.parametrize("change", ["written", "replaced", "gone"])
def test_a_file_that_changes_between_reading_and_keeping_is_refused(
    suite: OwnSuite,
    place: Path,
    change: str,
    link: bool,  # noqa: FBT001  # given by pytest
) -> None:
    write(place, HELLO)
    file = place / HELLO.file_name
    before = present(suite)

    def change_it() -> None:
        if change == "written":
            file.write_bytes(HELLO.content + b"\n")
        elif change == "replaced":
            (place / "new").write_bytes(make_deb("hello", content={"other": "one"}).content)
            (place / "new").replace(file)
        else:
            file.unlink()

    suite.context.cancel_when = change_it
    with pytest.raises(Refused, match="changed while it was taken in"):
        add(suite, file, link=link)
    assert present(suite) == before


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_suite_that_is_sealed_or_opened_meanwhile_is_what_it_is_at_the_end(
    suite: OwnSuite, place: Path, *, is_sealed: bool
) -> None:
    write(place, HELLO)
    set_sealed(suite.context, "petrel", "devel", is_sealed=not is_sealed)
    suite.context.cancel_when = lambda: set_sealed(suite.context, "petrel", "devel", is_sealed=is_sealed)
    if not is_sealed:
        assert add(suite, place).added == 1
        return
    with pytest.raises(Refused, match="suite petrel/devel is read-only"):
        add(suite, place)
    assert (present(suite), suite.context.events()) == ([], [])


def test_a_suite_that_moves_meanwhile_makes_it_busy_and_nothing_is_lost(suite: OwnSuite, place: Path) -> None:
    write(place, HELLO)
    moved: list[Sha256] = []
    suite.context.cancel_when = lambda: moved.append(suite.hold(WORLD))
    with pytest.raises(Busy, match="has changed meanwhile"):
        add(suite, place)
    assert present(suite) == [("main/binary-all", "world", "1.0")]
    suite.context.cancel_when = None
    add(suite, place)
    assert [name for _, name, _ in present(suite)] == ["world", "hello"]


def test_pipes_and_folders_are_no_packages(place: Path) -> None:
    os.mkfifo(place / "pipe.deb")
    (place / "folder.deb").mkdir()
    for name in ("pipe.deb", "folder.deb"):
        with pytest.raises(BadInput, match="is not a file"):
            take_deb(str(place / name))


def test_a_large_package_is_taken_as_a_small_one_is(place: Path) -> None:
    noise = random.Random(1).randbytes(5 << 20).hex()  # noqa: S311  # the same bytes each time
    large = make_deb("large", content={"usr/share/noise": noise})
    assert len(large.content) > 4 << 20
    (place / "x.deb").write_bytes(large.content)
    taken = take_deb(str(place / "x.deb"))
    assert (taken.file.sha256, taken.pool_path, taken.list_name) == (
        large.sha256,
        large.pool_path(),
        "main/binary-amd64",
    )


def test_a_source_is_taken_with_its_files(place: Path) -> None:
    source = make_source("petrel", "1:2.0")
    write(place, source)
    taken = take_source(str(place / source.dsc_name))
    assert (taken.name, taken.version, taken.list_name) == ("petrel", "1:2.0", "main/source")
    assert [path for path, _ in taken.pool_files] == [
        "pool/main/p/petrel/petrel_2.0.dsc",
        "pool/main/p/petrel/petrel_2.0.tar.gz",
    ]


def test_memory_of_an_import_stays_within_bounds(tmp_path: Path) -> None:
    """2,000 packages with 4 MB of descriptions: their stanzas lie on disk, not in memory."""
    script = dedent("""\
        import sys, tracemalloc
        from pathlib import Path
        from tests.worlds.archive import make_deb
        from tests.worlds.suite import own_suite
        from distwright.archive.adding import add_packages, files_below

        place = Path(sys.argv[1]) / "files"
        place.mkdir()
        text = " A line of a description that is long enough to be seen in memory.\\n" * 30
        for number in range(2000):
            deb = make_deb(f"package-{number:04d}", fields={"Description": f"package {number}\\n{text}".rstrip()})
            (place / deb.file_name).write_bytes(deb.content)
        suite = own_suite(Path(sys.argv[1]) / "state")
        tracemalloc.start()
        done = add_packages(
            suite.context, "petrel", "devel", files_below([str(place)]), link=True, actor="", reason=""
        )
        print(done.added, tracemalloc.get_traced_memory()[1])
    """)
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    added, peak = map(int, done.stdout.split())
    assert added == 2000
    assert peak < 12_000_000, peak


def test_stanzas_found_after_an_import_are_those_of_the_files(suite: OwnSuite, place: Path) -> None:
    write(place, *(make_deb(f"package-{number}") for number in range(300)))
    add(suite, place)
    with suite.context.database.read() as tx:
        root = root_of(suite.context, get_suite(tx, "petrel", "devel"))
    found = find_stanzas(root, "main/binary-amd64", ["package-77"], suite.context.objects.read)["package-77"]
    assert found == (take_deb(str(place / "package-77_1.0_amd64.deb")).stanza,)
