"""Joined indexes before their real readers: xz, gzip, zstd, busybox and apt, for suites of no, one and many packages."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.unit.formats.test_joining import joined_gzip, joined_xz, joined_zstd
from tests.worlds.apt import make_apt
from tests.worlds.archive import MadeDeb, make_deb, signer
from tests.worlds.suite import own_suite

TEXT = b"Package: petrel\nVersion: 1.0\n\n"
READERS: dict[str, tuple[Callable[[Sequence[bytes]], bytes], tuple[str, ...]]] = {
    "xz": (joined_xz, ("xz", "-dc")),
    "xz with threads": (joined_xz, ("xz", "-dc", "-T2")),
    "xz of busybox": (joined_xz, ("busybox", "xz", "-dc")),
    "gzip": (joined_gzip, ("gzip", "-dc")),
    "gzip of busybox": (joined_gzip, ("busybox", "gzip", "-dc")),
    "zstd": (joined_zstd, ("zstd", "-dc")),
}
CHECKERS: dict[str, tuple[Callable[[Sequence[bytes]], bytes], tuple[str, ...]]] = {
    "xz": (joined_xz, ("xz", "-t")),
    "gzip": (joined_gzip, ("gzip", "-t")),
    "zstd": (joined_zstd, ("zstd", "-t")),
}
PIECES = {
    "none": [],
    "one": [TEXT],
    "many": [TEXT * count for count in range(1, 200)],
    "large": [TEXT * 50_000, TEXT, b"", TEXT * 3],
}


def run(argv: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_unpacks_joined_pieces_to_the_whole(reader: str, pieces: str) -> None:
    join, argv = READERS[reader]
    data = join(PIECES[pieces])
    if not data:  # zstd of nothing: no frame at all; indexes have an empty one there (pieces.empty_zstd)
        return
    done = run(argv, data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"".join(PIECES[pieces])


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_checker_finds_joined_pieces_sound(checker: str) -> None:
    join, argv = CHECKERS[checker]
    done = run(argv, join(PIECES["many"]))
    assert (done.returncode, done.stdout) == (0, b"")


def test_xz_lists_one_stream_with_a_block_for_each_piece(tmp_path: Path) -> None:
    (tmp_path / "joined.xz").write_bytes(joined_xz([TEXT] * 7))
    listed = subprocess.run(
        ["xz", "--robot", "--list", tmp_path / "joined.xz"], capture_output=True, text=True, check=True
    )
    totals = next(line for line in listed.stdout.splitlines() if line.startswith("totals")).split("\t")
    assert totals[1:3] == ["1", "7"]


@pytest.mark.parametrize("ending", ["xz", "gz", "zst"])
@pytest.mark.parametrize("count", [0, 1, 400])
def test_apt_reads_suites_of_no_one_and_many_packages_in_each_compression(
    tmp_path: Path, ending: str, count: int
) -> None:
    suite = own_suite(tmp_path / "state")
    packages: list[MadeDeb] = [make_deb(f"package-{number:03d}", f"1.{number}") for number in range(count)]
    suite.publish(suite.hold(*packages))
    apt = make_apt(tmp_path / "apt", f"copy:{suite.archive}", signer("petrel").certificate())
    order = "".join(f'Acquire::CompressionTypes::Order:: "{kind}";\n' for kind in (ending,))
    (tmp_path / "apt" / "apt.conf").write_text((tmp_path / "apt" / "apt.conf").read_text() + order)
    updated = apt.update()
    assert (updated.exit_code, updated.complaints) == (0, [])
    assert apt.candidates() == [f"{deb.name} {deb.version}" for deb in packages]
