"""What a mirror or a proxy harms, apt refuses whole, and goes on with what it had; mended, it goes on with the new state."""

import shutil
from pathlib import Path

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import make_deb, signer
from tests.worlds.suite import OwnSuite, own_suite
from tests.worlds.transit import HARMS, serving_tree

OLD, NEW = ["hello 1.0", "world 1.0"], ["hello 2.0", "world 1.0"]
PACKAGES, SOURCES = "/binary-amd64/", "/source/"


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    """Version 1.0 of hello is published."""
    suite = own_suite(tmp_path / "state")
    suite.publish(suite.version("1.0"))
    return suite


def apt_for(folder: Path, url: str) -> Apt:
    return make_apt(folder, url, signer("petrel").certificate())


def is_updated(apt: Apt, expected: list[str]) -> bool:
    updated = apt.update()
    return (updated.exit_code, updated.complaints, apt.candidates()) == (0, [], expected)


@pytest.mark.parametrize(
    ("part", "harms"),
    [
        (PACKAGES, list(HARMS)),
        (SOURCES, ["a bit is another", "it is not there"]),
        ("/devel/InRelease", ["a bit is another", "the line is cut", "a portal answers"]),
    ],
)
def test_harmed_indexes_change_nothing_and_the_next_update_takes_all(
    suite: OwnSuite, tmp_path: Path, part: str, harms: list[str]
) -> None:
    """Of one new state all is taken or nothing: never new sources with old packages."""
    with serving_tree(suite.context.paths.public) as tree:
        first, later = apt_for(tmp_path / "first", tree.url), apt_for(tmp_path / "later", tree.url)
        assert is_updated(later, OLD)
        before = later.lists()
        suite.publish(suite.version("2.0"))
        for harm in harms:
            tree.harm = {part: HARMS[harm]}
            for apt in (first, later):
                refused = apt.update()
                assert (refused.exit_code, bool(refused.complaints)) == (100, True), harm
            assert later.lists() == before, harm
        assert (first.candidates(), later.candidates()) == ([], OLD)
        tree.harm = {}
        assert is_updated(first, NEW)
        assert is_updated(later, NEW)


def test_apt_says_what_is_wrong_with_an_index(suite: OwnSuite, tmp_path: Path) -> None:
    with serving_tree(suite.context.paths.public) as tree:
        for number, (harm, words) in enumerate(
            {
                "a bit is another": "Hash Sum mismatch",
                "there is more": "unexpected size",
                "the end is missing": "File is smaller than expected|unexpected size|Hash Sum mismatch",
            }.items()
        ):
            tree.harm = {PACKAGES: HARMS[harm]}
            complaints = "\n".join(apt_for(tmp_path / str(number), tree.url).update().complaints)
            assert any(word in complaints for word in words.split("|")), complaints
            assert "main/binary-amd64" in complaints


def test_harmed_package_files_are_not_taken_and_come_whole_later(suite: OwnSuite, tmp_path: Path) -> None:
    hello = make_deb("hello", "1.0")
    with serving_tree(suite.context.paths.public) as tree:
        apt = apt_for(tmp_path / "apt", tree.url)
        assert is_updated(apt, OLD)
        for harm in ("a bit is another", "there is more", "a portal answers", "the line is cut"):
            tree.harm = {"/pool/": HARMS[harm]}
            assert apt.download("hello").exit_code == 100, harm
            assert apt.run("apt-get", "source", "--download-only", "hello").exit_code == 100, harm
            assert apt.here().get(hello.file_name) != hello.content
        tree.harm = {}
        assert apt.download("hello").complaints == []
        assert apt.here()[hello.file_name] == hello.content


def test_suite_that_is_signed_no_longer_is_refused(suite: OwnSuite, tmp_path: Path) -> None:
    with serving_tree(suite.context.paths.public) as tree:
        apt = apt_for(tmp_path / "apt", tree.url)
        assert is_updated(apt, OLD)
        suite.publish(suite.version("2.0"))
        tree.harm = dict.fromkeys(("/InRelease", "/Release.gpg"), HARMS["it is not there"])
        refused = apt.update()
        assert refused.exit_code == 100
        assert any("is no longer signed" in line for line in refused.complaints)
        assert apt.candidates() == OLD


def test_mirror_without_names_by_hash_and_one_without_others_serve_both(suite: OwnSuite, tmp_path: Path) -> None:
    with serving_tree(suite.context.paths.public) as tree:
        for number, gone in enumerate(("/by-hash/", "/Packages", "/Sources")):
            tree.harm = {gone: HARMS["it is not there"]}
            apt = apt_for(tmp_path / str(number), tree.url)
            assert (apt.update().exit_code, apt.candidates()) == (0, OLD)


def test_mirrors_of_which_one_lags_behind_serve_one_state_together(suite: OwnSuite, tmp_path: Path) -> None:
    """apt takes InRelease from one and asks another for the rest: what an older one names is still there by its hash."""
    shutil.copytree(suite.context.paths.public, tmp_path / "lagging", symlinks=True)
    suite.publish(suite.version("2.0"))
    with serving_tree(tmp_path / "lagging") as lagging, serving_tree(suite.context.paths.public) as present:
        (tmp_path / "mirrors").write_text(f"{lagging.url}\tpriority:1\n{present.url}\tpriority:2\n")
        lagging.harm = {"/main/": HARMS["it is not there"]}
        apt = apt_for(tmp_path / "apt", f"mirror+file:{tmp_path}/mirrors")
        assert (apt.update().exit_code, apt.candidates()) == (0, OLD)
        assert sorted(path.rpartition("/")[0] for path in present.asked()) == [
            "dists/devel/main/binary-amd64/by-hash/SHA256",
            "dists/devel/main/source/by-hash/SHA256",
        ]
        assert apt.download("hello").complaints == []
        lagging.harm = {"/petrel/": HARMS["the server is ill"]}
        assert (apt.update().exit_code, apt.candidates()) == (0, NEW)


@pytest.mark.parametrize(("wanted", "by_hash"), [("force", True), ("no", False)])
def test_client_decides_about_names_by_hash(suite: OwnSuite, tmp_path: Path, wanted: str, *, by_hash: bool) -> None:
    with serving_tree(suite.context.paths.public) as tree:
        apt = apt_for(tmp_path / "apt", tree.url)
        apt.configure(f'Acquire::By-Hash "{wanted}";')
        assert is_updated(apt, OLD)
        indexes = [path for path in tree.asked() if "/main/" in path]
        assert (len(indexes), {"/by-hash/" in path for path in indexes}) == (2, {by_hash})


def test_empty_lists_are_not_asked_for(tmp_path: Path) -> None:
    suite = own_suite(tmp_path / "state")
    suite.publish(suite.hold(make_deb("hello", "1.0")))
    with serving_tree(suite.context.paths.public) as tree:
        apt = apt_for(tmp_path / "apt", tree.url)
        assert is_updated(apt, ["hello 1.0"])
        assert [path for path in tree.asked() if "/source/" in path] == []


def test_client_that_keeps_its_indexes_packed_reads_them(suite: OwnSuite, tmp_path: Path) -> None:
    """Whatever it packs them with, it seeks in them: in one stream of many blocks too."""
    many = [make_deb(f"package-{number:03d}", "1.0") for number in range(300)]
    suite.publish(suite.hold(*many))
    with serving_tree(suite.context.paths.public) as tree:
        for kind in ("xz", "gz", "zst"):
            apt = apt_for(tmp_path / kind, tree.url)
            apt.configure(
                f'Acquire::GzipIndexes "true";\nAcquire::CompressionTypes::Order:: "{kind}";\n'
                f'Acquire::IndexTargets::deb::Packages::KeepCompressedAs "{kind}";'
            )
            assert is_updated(apt, [f"{deb.name} 1.0" for deb in many])
            shown = apt.run("apt-cache", "show", "package-250").stdout
            assert f"SHA256: {many[250].sha256}" in shown
