"""apt brings its lists forward by patches: from the last state, from several back, and by whole files when it is too old."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import DAY, MadeDeb, make_deb, make_source, signer
from tests.worlds.suite import OwnSuite, own_suite
from tests.worlds.transit import HARMS, serving_tree

from distwright.archive.pdiffs import KEPT, ed_script
from distwright.archive.tree import TreeEntry, build_tree
from distwright.errors import NotFound
from distwright.model.digests import Sha256, sha256_of
from distwright.model.versions import DebVersion
from distwright.net.listen import LoopbackServer

COUNT = 150  # packages: a patch is smaller than the whole index, so that apt wants it


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    made = own_suite(tmp_path / "state")
    made.pdiffs = True
    return made


def state(number: int) -> list[MadeDeb]:
    """State `number` of the suite: package 7*number has a new version, package `number` is gone, one is added; some are for all."""
    debs = []
    for at in range(COUNT):
        if at != number:
            version = "2.0" if at == 7 * number else "1.0"
            debs.append(make_deb(f"p{at:03d}", version, architecture="all" if at % 5 == 0 else "amd64"))
    return [*debs, make_deb(f"q{number:03d}", "1.0")]


def publish(suite: OwnSuite, number: int) -> None:
    suite.context.clock += DAY
    suite.publish(suite.hold(*state(number), make_source("hello", f"{number}.0")))


@contextmanager
def served(suite: OwnSuite, asked: list[str], before: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    def find(path: str) -> tuple[BinaryIO, int]:
        asked.append(path.removeprefix("petrel/dists/devel/"))
        before(path)
        target = suite.context.paths.public / path
        if not target.is_file():
            raise NotFound(f"{path} is not here", hint="look at what is published")
        return target.open("rb"), target.stat().st_size

    with LoopbackServer(find) as server:
        yield f"{server.url}/petrel"


def apt_for(folder: Path, url: str) -> Apt:
    apt = make_apt(folder, url, signer("petrel").certificate(), sources=False)
    with (apt.folder / "apt.conf").open("a") as file:
        file.write('Acquire::PDiffs "true";\nAcquire::IndexTargets::deb::Packages::PDiffs "true";\n')
    return apt


def expected(number: int) -> list[str]:
    return sorted(f"{deb.name} {deb.version}" for deb in state(number))


def update(apt: Apt, asked: list[str]) -> list[str]:
    """Update without a complaint; give what it fetched besides InRelease, by kind."""
    asked.clear()
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    kinds = {"/Packages.diff/by-hash/": "index", "/Packages.diff/Index": "index", "/Packages.diff/T-": "patch"}
    rest = [path for path in asked if path != "InRelease"]
    return [next((kind for part, kind in kinds.items() if part in f"/{path}"), "whole") for path in rest]


def test_apt_follows_by_one_patch(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    publish(suite, 1)
    with served(suite, asked) as url:
        apt = apt_for(tmp_path / "apt", url)
        assert update(apt, asked) == ["whole"]
        for number in (2, 3):
            publish(suite, number)
            assert update(apt, asked) == ["index", "patch"]
            assert apt.candidates() == expected(number)


def test_apt_that_is_several_publications_back_takes_several_patches(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    publish(suite, 1)
    with served(suite, asked) as url:
        apts = []
        for number in (2, 3, 4):
            apts.append(apt_for(tmp_path / f"apt-{number}", url))
            assert "whole" in update(apts[-1], asked)
            publish(suite, number)
        for back, apt in zip((3, 2, 1), apts, strict=True):
            assert update(apt, asked) == ["index", *["patch"] * back]
            assert apt.candidates() == expected(4)


def test_apt_that_is_too_old_takes_the_whole_index(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    publish(suite, 1)
    with served(suite, asked) as url:
        apt = apt_for(tmp_path / "apt", url)
        update(apt, asked)
        for number in range(2, KEPT + 3):
            publish(suite, number)
        fetched = update(apt, asked)
        assert (fetched[-1], "patch" in fetched) == ("whole", False)
        assert apt.candidates() == expected(KEPT + 2)


def test_return_to_an_earlier_state_is_a_patch_too(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    publish(suite, 1)
    with served(suite, asked) as url:
        old, new = apt_for(tmp_path / "old", url), apt_for(tmp_path / "new", url)
        update(old, asked)
        publish(suite, 2)
        update(new, asked)
        publish(suite, 1)
        assert update(new, asked) == ["index", "patch"]
        publish(suite, 3)
        for apt in (old, new):
            assert "whole" not in update(apt, asked)
            assert apt.candidates() == expected(3)


def test_publish_between_the_index_of_patches_and_a_patch_does_not_hurt(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    moved: list[int] = []

    def move(path: str) -> None:
        if "/Packages.diff/T-" in path and not moved:
            moved.append(3)
            publish(suite, 3)

    publish(suite, 1)
    with served(suite, asked, move) as url:
        apt = apt_for(tmp_path / "apt", url)
        update(apt, asked)
        publish(suite, 2)
        assert update(apt, asked) == ["index", "patch"]
        assert (moved, apt.candidates()) == ([3], expected(2))


def test_state_that_is_signed_anew_keeps_its_patches(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    publish(suite, 1)
    with served(suite, asked) as url:
        apt = apt_for(tmp_path / "apt", url)
        update(apt, asked)
        publish(suite, 2)
        (apt.folder / "key.asc").write_bytes(signer("another").certificate())
        suite.key = "another"
        publish(suite, 2)
        assert update(apt, asked) == ["index", "patch"]


@pytest.mark.parametrize("part", ["/Packages.diff/T-", "/Packages.diff/"])
def test_harmed_patches_send_apt_to_the_whole_index(suite: OwnSuite, tmp_path: Path, part: str) -> None:
    for number in (1, 2):
        publish(suite, number)
    with serving_tree(suite.context.paths.public) as tree:
        apt = apt_for(tmp_path / "apt", tree.url)
        assert apt.update().exit_code == 0
        for number, harm in enumerate(("a bit is another", "the end is missing", "it is not there"), start=3):
            publish(suite, number)
            tree.harm = {part: HARMS[harm]}
            tree.asked()
            updated = apt.update()
            assert (updated.exit_code, apt.candidates()) == (0, expected(number)), harm
            asked = tree.asked()
            assert any(part in path for path in asked)
            assert any("/main/binary-amd64/by-hash/" in path for path in asked)


def test_release_lists_the_index_of_patches_and_not_the_patches(suite: OwnSuite) -> None:
    publish(suite, 1)
    publish(suite, 2)
    listed = [line.split()[-1] for line in suite.see().release.splitlines() if ".diff/" in line]
    assert listed == ["main/binary-amd64/Packages.diff/Index", "main/source/Sources.diff/Index"]


NAMES = st.lists(st.sampled_from([f"p{at}" for at in range(40)]), unique=True, max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=NAMES, new=NAMES, version=st.sampled_from(["1", "2"]))
def test_patch_program_makes_of_any_old_state_the_new_one(
    tmp_path: Path, old: list[str], new: list[str], version: str
) -> None:
    """patch --ed is the oracle; some packages of the old state have another version in the new one."""
    kept: dict[Sha256, bytes] = {}

    def put(content: bytes) -> Sha256:
        kept[sha256_of(content)] = content
        return sha256_of(content)

    def leaves(names: list[str], of_even: str) -> tuple[list[object], bytes]:
        entries = []
        for name in names:
            which = of_even if int(name[1:]) % 2 == 0 else "1"
            stanza = f"Package: {name}\nVersion: {which}\nDescription: a\n .\n b\n".encode()
            entries.append(TreeEntry("main/binary-amd64", name, DebVersion(which), stanza))
        found = build_tree(entries, put).lists.get("main/binary-amd64", ())
        return list(found), b"".join(kept[leaf.digest] for leaf in found)

    (before, old_text), (after, new_text) = leaves(old, "1"), leaves(new, version)
    script = ed_script(before, after, kept.__getitem__)  # type: ignore[arg-type]
    assert script is not None
    (tmp_path / "text").write_bytes(old_text)
    if script:
        argv = ["patch", "--ed", "--silent", "--force", str(tmp_path / "text")]
        subprocess.run(argv, input=script, check=True, capture_output=True)
    made = (tmp_path / "text").read_bytes() if (tmp_path / "text").exists() else b""
    assert made == new_text


def test_patches_sort_in_the_order_in_which_they_apply_even_within_a_second_and_when_the_clock_goes_back(
    suite: OwnSuite,
) -> None:
    for number, step in enumerate((DAY, *[0 * DAY] * 11, -DAY, 2 * DAY, 0 * DAY)):
        suite.context.clock += step
        suite.publish(suite.hold(*state(number)))
    index = (suite.archive / "dists" / "devel" / "main" / "binary-amd64" / "Packages.diff" / "Index").read_text()
    for field in ("SHA1", "SHA256"):
        rows = index.partition(f"{field}-History:\n")[2].partition("\nSHA")[0].splitlines()
        names = [row.split()[2] for row in rows]
        assert len(names) == 14
        assert names == sorted(set(names))
