"""`suite exception`, `exceptions` and `preferences` on the command line, and the flow that ends an exception by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worlds.archive import DATE, DAY, make_deb, make_source
from tests.worlds.client import see_suite
from tests.worlds.frozen import Frozen, frozen_world

from distwright.app import open_app

OLD, NEW = make_deb("hello", "1.0"), make_deb("hello", "2.0")
LIBRARY = make_deb("libhello", "2.0", source="hello")
WORDS = ("suite", "exception", "frozen", "hello", "2.0")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Frozen]:
    """The old hello is in stable, below the overlay frozen; the new one in devel, and in Debian since the second record."""
    world = frozen_world(tmp_path)
    line = world.line
    line.run("suite", "add", "stable", line.files(OLD, make_source("hello")))
    line.run(
        "suite", "add", "devel", line.files(NEW, LIBRARY, make_source("hello", "2.0", binaries=("hello", "libhello")))
    )
    line.run("suite", "branch", "stable", "frozen")
    yield world
    world.context.database.close()


def states(world: Frozen, *words: str) -> list[tuple[str, str, str]]:
    rows = world.line.run("suite", "exceptions", "frozen", *words, as_json=True).answer
    return [(row["version"], row["state"], row["why"]) for row in rows]


def test_an_exception_is_tried_let_in_listed_and_served(world: Frozen) -> None:
    more = ("--from", "devel", "--reason", "a crash")
    tried = world.line.run(*WORDS, *more, "--dry-run", as_json=True).answer
    assert [(row["package"], row["old"], row["new"]) for row in tried["changes"]] == [
        ("hello", None, "2.0"), ("libhello", None, "2.0"), ("hello", None, "2.0"),
    ]  # fmt: skip
    assert world.line.run("suite", "exceptions", "frozen").text == "petrel/frozen has no exceptions\n"
    assert world.line.run("suite", "preferences", "frozen").text == ""
    text = world.line.run(*WORDS, *more, "--publish").text
    assert text.splitlines()[-1] == "from petrel/devel, until petrel/stable has it"
    assert states(world) == [("2.0", "needed", "petrel/stable has 1.0")]
    listed = world.line.run("suite", "exceptions", "frozen").text
    assert all(word in listed for word in ("hello", "petrel/devel", "a crash", "needed"))
    certificate = open_app(str(world.line.state)).keys.certificate("petrel")
    seen = see_suite(world.line.state / "public" / "petrel", "frozen", certificate)
    assert seen.packages == ["hello 2.0", "libhello 2.0"]
    assert world.line.run("suite", "preferences", "frozen").text == (
        "Explanation: hello 2.0 instead of what is frozen: a crash\nPackage: hello libhello\n"
        "Pin: release o=Petrel,n=frozen\nPin-Priority: 500\n"
    )


def test_tidy_says_what_ends_and_does_it_when_told(world: Frozen) -> None:
    world.line.run(*WORDS, "--from", "devel", "--reason", "a crash")
    assert world.line.run("suite", "exceptions", "frozen", "--tidy").text == "none ends\n"
    world.line.run("suite", "merge", "stable", "devel")
    why = "petrel/stable has 2.0"
    assert states(world) == [("2.0", "not needed", why)]
    assert states(world, "--tidy") == [("2.0", "would end (--apply)", why)]
    assert world.line.versions("frozen")["libhello"] == "2.0"
    assert states(world, "--tidy", "--apply") == [("2.0", "ended", why)]
    assert world.line.versions("frozen") == {}
    assert states(world) == []
    assert states(world, "--all") == [("2.0", "over", why)]
    assert world.line.run("suite", "exceptions", "frozen", "--apply").exit_code == 2


def test_it_ends_by_itself_when_the_base_moves_and_the_suite_is_published_without_it(world: Frozen) -> None:
    world.line.run(*WORDS, "--from", "devel", "--reason", "a crash", "--publish")
    assert world.line.run("worker", "--until-idle").exit_code == 0
    assert states(world) == [("2.0", "needed", "petrel/stable has 1.0")]
    world.line.run("suite", "merge", "stable", "devel")
    assert world.line.run("worker", "--until-idle").exit_code == 0
    assert states(world, "--all") == [("2.0", "over", "petrel/stable has 2.0")]
    certificate = open_app(str(world.line.state)).keys.certificate("petrel")
    assert see_suite(world.line.state / "public" / "petrel", "frozen", certificate).packages == []
    jobs = world.line.run("job", "list", as_json=True).answer
    told = [row["message"] for row in jobs if row["kind"] == "suite.tidy" and "hello" in row["message"]]
    assert told == ["exceptions of petrel/frozen: hello 2.0: petrel/stable has 2.0"]


def test_from_debian_it_ends_by_itself_when_the_branch_is_thawed(world: Frozen) -> None:
    world.upstreams["debian"].add(OLD, make_source("hello"))
    first = world.record("debian", DATE)
    world.line.run("pin", "freeze", str(world.clone), "--archive", "debian")
    world.push()
    other, newer = make_deb("other", "2.0", source="newer"), make_source("newer", "2.0", binaries=("other",))
    world.upstreams["debian"].add(other, newer)
    second = world.record("debian", DATE + DAY)
    missing = world.line.run(
        "suite", "exception", "frozen", "newer", "2.0", "--from", f"debian@{first}", "--reason", "x"
    )
    assert missing.said == f"debian@{first} has not newer 2.0: no source of it"
    for file in (other.content, *newer.files.values()):  # as a job has fetched them: a command of a test has no network
        world.context.objects.put(file)
    words = ("--from", "debian@latest", "--base", "debian/stable", "--branch", "live/stable", "--reason", "wanted")
    done = world.line.run("suite", "exception", "frozen", "newer", "2.0", *words, as_json=True)
    assert (done.answer["origin"], done.answer["branch"]) == (f"debian@{second}", "live/stable")
    assert world.line.run("worker", "--until-idle").exit_code == 0
    assert states(world) == [("2.0", "needed", f"debian/stable@{first} does not have it")]
    (world.clone / "config" / "APT_snapshots.d" / "debian" / "serial").write_text("latest\n")
    world.push()
    assert world.line.run("worker", "--until-idle").exit_code == 0
    assert states(world, "--all") == [("2.0", "over", f"debian/stable@{second} has 2.0")]
    assert "other" not in world.line.versions("frozen")


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("hello", "9", "--from", "devel", "--reason", "x"), 3),
        (("hello", "2.0", "--from", "nothing", "--reason", "x"), 10),
        (("hello", "2.0", "--from", "devel"), 2),
        (("hello", "2.0", "--from", "devel", "--reason", "x", "--base", "debian/stable"), 2),
    ],
)
def test_what_cannot_be_let_in_says_so_by_its_exit_code(world: Frozen, words: tuple[str, ...], exit_code: int) -> None:
    assert world.line.run("suite", "exception", "frozen", *words).exit_code == exit_code
    assert world.line.versions("frozen") == {}
