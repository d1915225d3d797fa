"""The apt of this machine reads what we publish: over file, copy and http, across a second publish, and never anything edited."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import make_deb, make_source, signer
from tests.worlds.suite import OwnSuite, own_suite

from distwright.errors import NotFound
from distwright.net.listen import LoopbackServer

HELLO, WORLD = make_deb("hello", "1.0"), make_deb("world", architecture="all")


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    """Version 1.0 of hello is published."""
    suite = own_suite(tmp_path / "state")
    suite.publish(suite.version("1.0"))
    return suite


def apt_for(suite: OwnSuite, folder: Path, *, url: str | None = None, key: str = "petrel") -> Apt:
    return make_apt(folder, url or f"copy:{suite.archive}", signer(key).certificate())


@contextmanager
def served(suite: OwnSuite, before: Callable[[str], None]) -> Iterator[str]:
    """Serve the public tree over http. before: called with each path first, for worlds that move meanwhile."""

    def find(path: str) -> tuple[BinaryIO, int]:
        before(path)
        target = suite.context.paths.public / path
        if not target.is_file():
            raise NotFound(f"{path} is not here", hint="look at what is published")
        return target.open("rb"), target.stat().st_size

    with LoopbackServer(find) as server:
        yield f"{server.url}/petrel"


@pytest.mark.parametrize("scheme", ["copy", "file"])
def test_apt_updates_without_a_warning_and_downloads_what_was_published(
    suite: OwnSuite, tmp_path: Path, scheme: str
) -> None:
    apt = apt_for(suite, tmp_path / "apt", url=f"{scheme}:{suite.archive}")
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    assert apt.candidates() == ["hello 1.0", "world 1.0"]
    downloaded = apt.download("hello", "world")
    assert (downloaded.exit_code, downloaded.complaints) == (0, [])
    if scheme == "copy":  # over file: apt leaves them where they are
        assert apt.here() == {HELLO.file_name: HELLO.content, WORLD.file_name: WORLD.content}


def test_apt_names_the_pool_file_with_its_hash(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    shown = apt.run("apt-get", "download", "--print-uris", "hello").stdout
    url = f"copy:{suite.archive}/{HELLO.pool_path()}"
    assert shown == f"'{url}' {HELLO.file_name} {len(HELLO.content)} SHA256:{HELLO.sha256}\n"


def test_apt_downloads_the_source_and_it_is_whole(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    fetched = apt.run("apt-get", "source", "--download-only", "hello")
    assert (fetched.exit_code, fetched.complaints) == (0, [])
    assert apt.here() == dict(sorted(make_source("hello", "1.0").files.items()))


def test_over_http_apt_fetches_by_hash_and_reads_xz(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    with served(suite, asked.append) as url:
        apt = apt_for(suite, tmp_path / "apt", url=url)
        updated = apt.update()
        assert (updated.exit_code, updated.complaints) == (0, [])
        assert apt.download("hello").complaints == []
    assert apt.here() == {HELLO.file_name: HELLO.content}
    indexes = [path.removeprefix("petrel/dists/devel/") for path in asked if "/main/" in path and "/pool/" not in path]
    assert sorted({path.rpartition("/")[0] for path in indexes}) == [
        "main/binary-amd64/by-hash/SHA256",
        "main/source/by-hash/SHA256",
    ]


def test_after_a_second_publish_apt_sees_the_new_version_only(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    suite.publish(suite.version("2.0"))
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    assert apt.candidates() == ["hello 2.0", "world 1.0"]
    assert apt.download("hello").exit_code == 0
    assert apt.here() == {"hello_2.0_amd64.deb": make_deb("hello", "2.0").content}


def test_of_an_unchanged_suite_apt_fetches_inrelease_only(suite: OwnSuite, tmp_path: Path) -> None:
    asked: list[str] = []
    with served(suite, asked.append) as url:
        apt = apt_for(suite, tmp_path / "apt", url=url)
        apt.update()
        asked.clear()
        suite.publish(suite.version("1.0"))
        assert apt.update().complaints == []
    assert asked == ["petrel/dists/devel/InRelease"]


def test_a_publish_between_inrelease_and_packages_gives_apt_the_state_of_its_inrelease(
    suite: OwnSuite, tmp_path: Path
) -> None:
    """by-hash: what an older InRelease names stays there."""
    moved: list[str] = []

    def move(path: str) -> None:
        if "/by-hash/" in path and not moved:
            moved.append(path)
            suite.publish(suite.version("2.0"))

    with served(suite, move) as url:
        apt = apt_for(suite, tmp_path / "apt", url=url)
        updated = apt.update()
        assert (updated.exit_code, updated.complaints, len(moved)) == (0, [], 1)
        assert apt.candidates() == ["hello 1.0", "world 1.0"]
        assert apt.download("hello").complaints == []
        assert apt.here() == {HELLO.file_name: HELLO.content}
        assert apt.update().exit_code == 0
        assert apt.candidates() == ["hello 2.0", "world 1.0"]


def test_a_client_that_has_not_updated_still_gets_the_old_package(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    suite.publish(suite.version("2.0"))
    assert apt.download("hello").complaints == []
    assert apt.here() == {HELLO.file_name: HELLO.content}


def test_apt_refuses_a_suite_that_another_key_has_signed(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt", key="somebody")
    updated = apt.update()
    assert updated.exit_code != 0
    assert any("NO_PUBKEY" in line for line in updated.complaints)
    assert apt.candidates() == []


def test_after_a_change_of_key_apt_keeps_the_old_state_until_it_has_the_new_key(
    suite: OwnSuite, tmp_path: Path
) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    suite.key = "another"
    suite.publish(suite.version("2.0"))
    refused = apt.update()
    assert refused.exit_code != 0
    assert any("NO_PUBKEY" in line for line in refused.complaints)
    assert apt.candidates() == ["hello 1.0", "world 1.0"]
    (apt.folder / "key.asc").write_bytes(signer("another").certificate())
    assert apt.update().exit_code == 0
    assert apt.candidates() == ["hello 2.0", "world 1.0"]


def edited(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a served file: what is there is a link to an object, so it is replaced."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def test_apt_refuses_an_edited_index(suite: OwnSuite, tmp_path: Path) -> None:
    folder = suite.archive / "dists" / "devel" / "main" / "binary-amd64"
    for path in [*folder.glob("Packages*"), *(folder / "by-hash" / "SHA256").iterdir()]:
        edited(path, lambda text: text[:-1] + bytes([text[-1] ^ 1]))
    apt = apt_for(suite, tmp_path / "apt")
    updated = apt.update()
    assert updated.exit_code != 0
    assert any("Hash Sum mismatch" in line or "unexpected size" in line for line in updated.complaints)
    assert apt.candidates() == []


def test_apt_refuses_an_edited_inrelease(suite: OwnSuite, tmp_path: Path) -> None:
    edited(suite.archive / "dists" / "devel" / "InRelease", lambda text: text.replace(b"Petrel", b"Peterl", 1))
    updated = apt_for(suite, tmp_path / "apt").update()
    assert updated.exit_code != 0
    assert any("BADSIG" in line or "signatures were invalid" in line for line in updated.complaints)


def test_apt_refuses_an_unsigned_suite(suite: OwnSuite, tmp_path: Path) -> None:
    for name in ("InRelease", "Release.gpg"):
        (suite.archive / "dists" / "devel" / name).unlink()
    updated = apt_for(suite, tmp_path / "apt").update()
    assert updated.exit_code != 0
    assert any("is not signed" in line for line in updated.complaints)


def test_apt_takes_release_and_its_detached_signature_too(suite: OwnSuite, tmp_path: Path) -> None:
    (suite.archive / "dists" / "devel" / "InRelease").unlink()
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    assert apt.candidates() == ["hello 1.0", "world 1.0"]


def test_apt_refuses_an_altered_package(suite: OwnSuite, tmp_path: Path) -> None:
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    edited(suite.archive / HELLO.pool_path(), lambda content: content[:-1] + b"!")
    assert apt.download("hello").exit_code != 0
    assert HELLO.file_name not in apt.here()


def test_apt_reads_an_empty_suite_and_one_with_packages_of_all_only(suite: OwnSuite, tmp_path: Path) -> None:
    for number, (packages, expected) in enumerate((((), []), ((WORLD,), ["world 1.0"]))):
        topic = own_suite(tmp_path / "state", f"topic-{number}", suite.context)
        topic.publish(topic.hold(*packages))
        apt = make_apt(
            tmp_path / str(number), f"copy:{topic.archive}", signer("petrel").certificate(), suite=topic.name
        )
        updated = apt.update()
        assert (updated.exit_code, updated.complaints) == (0, [])
        assert apt.candidates() == expected


def test_apt_asks_for_a_dependency_of_the_same_suite(suite: OwnSuite, tmp_path: Path) -> None:
    suite.publish(suite.hold(make_deb("hello", "2.0", depends="world (>= 1.0)"), WORLD))
    apt = apt_for(suite, tmp_path / "apt")
    assert apt.update().exit_code == 0
    planned = apt.run("apt-get", "--simulate", "install", "hello")
    assert [line for line in planned.stdout.splitlines() if line.startswith("Inst")] == [
        "Inst world (1.0 Petrel:devel [all])",
        "Inst hello (2.0 Petrel:devel [amd64])",
    ]
