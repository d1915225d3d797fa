"""The apt of Debian 13: its own way to ask for a snapshot, and each compression alone."""

from pathlib import Path
from typing import BinaryIO

import pytest
from tests.worlds.apt import Apt, make_apt
from tests.worlds.archive import make_deb, signer
from tests.worlds.published import TAG, Published, Target
from tests.worlds.suite import own_suite
from tests.worlds.trixie import apt_3

from distwright.errors import NotFound
from distwright.net.listen import LoopbackServer

pytestmark = pytest.mark.system  # the root comes from a mirror


def apt_of(folder: Path, target: Target) -> Apt:
    """Give an apt 3 that knows a target and has read it; of a recorded archive it is told where its snapshots are."""
    apt = make_apt(folder, target.url, target.certificate, suite=target.suite, inside=apt_3(folder))
    base = target.url.removesuffix("/debian")
    more = f'Acquire::Snapshots::URI::Label::Debian "{base}/debian/snapshots/@SNAPSHOTID@/";\n'
    with (folder / "apt.conf").open("a") as conf:
        conf.write(more)
    assert content(apt, "update") == target.listed
    return apt


def content(apt: Apt, *words: str) -> list[str]:
    """Run apt-get and give what apt then has on offer; it must not have complained."""
    ran = apt.run("apt-get", *words, *(("--error-on=any",) if "update" in words else ()))
    assert (ran.exit_code, ran.complaints) == (0, [])
    given = [word for word in words if word.startswith("--snapshot=")]
    names = apt.run("apt-cache", *given, "pkgnames").stdout.split()
    shown = [apt.run("apt-cache", *given, "show", "--no-all-versions", name).stdout for name in sorted(names)]
    fields = [
        dict(line.split(": ", 1) for line in text.splitlines() if line[:8] in ("Package:", "Version:"))
        for text in shown
    ]
    return [f"{row['Package']} {row['Version']}" for row in fields if row]


@pytest.mark.parametrize("word", ["own", "recorded"])
def test_apt_asks_for_a_snapshot_by_its_serial_and_goes_back_to_the_live_suite(
    world: Published, tmp_path: Path, word: str
) -> None:
    live, frozen = world.targets[f"{word} live"], world.targets[f"{word} frozen"]
    apt = apt_of(tmp_path / "apt", live)
    serial = world.serials["petrel" if word == "own" else "debian"]
    snapshot = f"--snapshot={serial}"
    assert content(apt, snapshot, "update") == frozen.listed
    assert content(apt, snapshot, "--yes", "--download-only", "install", "hello") == frozen.listed
    cached = sorted(path.name for path in (apt.folder / "cache" / "archives").glob("*.deb"))
    assert cached == ["hello_1.0_amd64.deb", "libhello_1.0_amd64.deb"]
    assert content(apt, "update") == live.listed


def test_apt_asks_for_a_tagged_snapshot_of_ours_in_the_same_way(world: Published, tmp_path: Path) -> None:
    apt = apt_of(tmp_path / "apt", world.targets["own live"])
    assert content(apt, f"--snapshot={TAG}", "update") == world.targets["own tagged"].listed


def test_sources_may_name_the_snapshot_for_good(world: Published, tmp_path: Path) -> None:
    apt = apt_of(tmp_path / "apt", world.targets["own live"])
    (apt.folder / "etc" / "sources.list").unlink()
    printed = world.line.run("archive", "sources", "petrel", "devel").text
    (apt.folder / "etc" / "sources.list.d").mkdir()
    sources = apt.folder / "etc" / "sources.list.d" / "petrel.sources"
    sources.write_text(f"{printed.rstrip()}\nSnapshot: {world.serials['petrel']}\n")
    assert content(apt, "update") == world.targets["own frozen"].listed


def test_apt_says_so_of_a_snapshot_that_there_is_not(world: Published, tmp_path: Path) -> None:
    apt = apt_of(tmp_path / "apt", world.targets["own live"])
    ran = apt.run("apt-get", "--error-on=any", "--snapshot=1999010101", "update")
    assert ran.exit_code != 0
    assert any("1999010101" in line and "does not have a Release file" in line for line in ran.complaints)
    assert content(apt, "update") == world.targets["own live"].listed


@pytest.mark.parametrize("ending", ["xz", "gz", "zst"])
@pytest.mark.parametrize("count", [0, 1, 400])
def test_apt_reads_each_compression_alone(tmp_path: Path, ending: str, count: int) -> None:
    suite = own_suite(tmp_path / "state")
    packages = [make_deb(f"package-{number:03d}", f"1.{number}") for number in range(count)]
    suite.publish(suite.hold(*packages))
    asked: list[str] = []

    def find(path: str) -> tuple[BinaryIO, int]:
        """Serve nothing of the other compressions, by whatever name."""
        asked.append(path)
        target = suite.context.paths.public / path
        others = [folder / f"{name}.{other}" for folder in (suite.archive / "dists/devel/main").iterdir()
                  for name in ("Packages", "Sources") for other in {"xz", "gz", "zst"} - {ending}]  # fmt: skip
        if not target.is_file() or any(other.is_file() and other.samefile(target) for other in others):
            raise NotFound(f"{path} is not here", hint="look at what is published")
        return target.open("rb"), target.stat().st_size

    with LoopbackServer(find) as server:
        folder = tmp_path / "apt"
        apt = make_apt(folder, f"{server.url}/petrel", signer("petrel").certificate(), inside=apt_3(folder))
        with (folder / "apt.conf").open("a") as conf:
            conf.write(f'Acquire::CompressionTypes::Order:: "{ending}";\n')
        updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    assert apt.candidates() == [f"{deb.name} {deb.version}" for deb in packages]
    assert sum("/by-hash/" in path for path in asked) == min(count, 1)  # apt 3 does not ask for what is empty
