"""Contents files: what packages install, whatever their compression; hostile ones are passed over, within bounds."""

import contextlib
import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.worlds.archive import MadeDeb, make_deb
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.datatar import file_names
from distwright.errors import BadInput
from distwright.formats.debwriter import write_ar


def built(folder: Path, compression: str) -> bytes:
    """Build with the real dpkg-deb: long names, links, spaces, letters beyond ASCII, an empty folder."""
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    )
    (root / "usr" / "empty").mkdir(parents=True)
    for name in ("usr/a", "usr/with space", "usr/größe", f"usr/{'long' * 40}/{'name' * 30}"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    (root / "usr" / "link").symlink_to("a" * 200)
    (root / "usr" / "hard").hardlink_to(root / "usr" / "a")
    argv = ["dpkg-deb", f"-Z{compression}", "--root-owner-group", "--build", str(root), str(folder / "x.deb")]
    subprocess.run(argv, check=True, capture_output=True)
    return (folder / "x.deb").read_bytes()


@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd", "none"])
def test_names_of_a_package_that_dpkg_deb_built(tmp_path: Path, compression: str) -> None:
    assert [name.decode() for name in file_names(io.BytesIO(built(tmp_path, compression)))] == sorted(
        ["usr/a", "usr/hard", "usr/link", "usr/with space", f"usr/{'long' * 40}/{'name' * 30}", "usr/größe"],
        key=str.encode,
    )


def deb_of(tar: bytes, name: str = "data.tar") -> io.BytesIO:
    return io.BytesIO(write_ar([("debian-binary", b"2.0\n"), ("control.tar", b""), (name, tar)], 0))


def tar_of(*members: tarfile.TarInfo) -> bytes:
    return b"".join(member.tobuf(tarfile.PAX_FORMAT) for member in members) + bytes(1024)


def huge() -> bytes:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def cut() -> bytes:
    member = tarfile.TarInfo("./a")
    member.size = 5000
    return member.tobuf() + b"a" * 100


HOSTILE: Mapping[str, Callable[[], io.BytesIO]] = {
    "no tar": lambda: deb_of(b"x" * 2000),
    "half a header": lambda: deb_of(b"x" * 100),
    "cut off within a file": lambda: deb_of(cut()),
    "name of 8 GiB": lambda: deb_of(huge()),
    "damaged xz": lambda: deb_of(b"\xfd7zXZ\x00" + b"x" * 100, "data.tar.xz"),
    "damaged gzip": lambda: deb_of(b"\x1f\x8b" + b"x" * 100, "data.tar.gz"),
    "damaged zstd": lambda: deb_of(b"\x28\xb5\x2f\xfd" + b"x" * 100, "data.tar.zst"),
    "unknown compression": lambda: deb_of(b"", "data.tar.lz4"),
    "no data.tar": lambda: io.BytesIO(write_ar([("debian-binary", b"2.0\n")], 0)),
    "too many members": lambda: deb_of(tar_of(*[tarfile.TarInfo("./a")] * 60)),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_package_is_refused(make: Callable[[], io.BytesIO]) -> None:
    with pytest.raises(BadInput):
        file_names(make(), max_members=50)


@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd", "none"])
def test_package_cut_at_any_byte_is_bad_input_and_never_a_crash(tmp_path: Path, compression: str) -> None:
    whole = built(tmp_path, compression)
    for length in range(0, len(whole) - 1, 37):
        with pytest.raises(BadInput):
            file_names(io.BytesIO(whole[:length]))


@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd", "none"])
def test_package_with_an_altered_byte_gives_names_or_bad_input(tmp_path: Path, compression: str) -> None:
    whole = built(tmp_path, compression)
    for at in range(0, len(whole), 41):
        altered = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        with contextlib.suppress(BadInput):
            assert all(isinstance(name, bytes) for name in file_names(io.BytesIO(altered)))


def test_names_that_no_line_can_hold_are_left_out() -> None:
    names = ["./a", "./b\nc", "./d\te", "./", "/f"]
    assert file_names(deb_of(tar_of(*map(tarfile.TarInfo, names)))) == [b"a", b"f"]


@pytest.fixture
def suite(tmp_path: Path) -> OwnSuite:
    made = own_suite(tmp_path / "state")
    made.contents = True
    return made


def contents(suite: OwnSuite) -> list[list[str]]:
    text = suite.see().indexes["main/Contents-amd64"].decode()
    return [line.rsplit(maxsplit=1) for line in text.splitlines()]


def test_contents_name_every_package_of_a_path_sorted(suite: OwnSuite) -> None:
    one = make_deb("one", content={"usr/bin/one": "", "usr/share/with space": ""}, section="admin")
    two = make_deb("two", content={"usr/bin/one": "", "etc/two": ""}, architecture="all")
    suite.publish(suite.hold(one, two))
    assert contents(suite) == [
        ["etc/two", "utils/two"],
        ["usr/bin/one", "admin/one,utils/two"],
        ["usr/share/with space", "admin/one"],
    ]


def many(version: str) -> list[MadeDeb]:
    files = {f"usr/share/doc/{at:04d}": "" for at in range(40)}
    debs = [make_deb(f"p{at:03d}", content={f"{path}-{at}": "" for path in files}) for at in range(120)]
    return [*debs, make_deb("changed", version, content={f"usr/lib/{version}": ""})]


def test_change_of_one_package_reads_only_that_and_compresses_few_pieces(suite: OwnSuite) -> None:
    suite.publish(suite.hold(*many("1.0")))
    folders = [suite.context.paths.cache / name for name in ("contents/names", "contents/runs", "pieces")]
    before = [sum(path.is_file() for path in folder.rglob("*")) for folder in folders]
    suite.publish(suite.hold(*many("2.0")))
    after = [sum(path.is_file() for path in folder.rglob("*")) for folder in folders]
    assert [new - old for new, old in zip(after, before, strict=True)][:2] == [1, 1]
    assert after[2] - before[2] <= 4, "a leaf of Packages, and the pieces of Contents where the path went and came"
    rows = contents(suite)
    assert (len(rows), ["usr/lib/2.0", "utils/changed"] in rows, rows == sorted(rows)) == (4801, True, True)


def test_package_that_cannot_be_read_is_told_and_the_rest_published(suite: OwnSuite) -> None:
    good = make_deb("good", content={"usr/good": ""})
    bad = make_deb("bad")
    broken = MadeDeb("bad", "1.0", "amd64", "bad", "utils", bad.control, bad.content[:-50])
    suite.publish(suite.hold(good, broken))
    assert contents(suite) == [["usr/good", "utils/good"]]
    assert any(line.startswith("not in Contents: bad: ") for line in suite.context.lines)


def test_contents_come_and_go_with_the_setting(suite: OwnSuite) -> None:
    revision = suite.hold(make_deb("one"))
    suite.publish(revision)
    suite.contents = False
    suite.publish(revision)
    assert [path for path in suite.see().indexes if "Contents" in path] == []
    suite.contents = True
    suite.publish(revision)
    assert contents(suite) == [["usr/share/one", "utils/one"]]
    assert len(suite.publications()) == 3
