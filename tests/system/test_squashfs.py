"""Our readers of squashfs and ISO 9660 see what mksquashfs and xorriso wrote, and say BadInput of what is damaged."""

import hashlib
import io
import random
import re
import stat
import subprocess
from pathlib import Path

import pytest
from tests.worlds.squashfs import NET_RAW, Node, make_iso, make_squashfs

from distwright.errors import BadInput
from distwright.formats.iso9660 import files_of_iso
from distwright.formats.squashfs import SquashFile, Squashfs

pytestmark = pytest.mark.system
LARGE = random.Random(1).randbytes(300_000) + b"text " * 100_000  # noqa: S311  # the same each time
NODES = (
    Node("bin/ls", LARGE, 0o755),
    Node("bin/again", hardlink="bin/ls"),
    Node("bin/ping", b"ping", 0o755, xattrs={"security.capability": NET_RAW, "user.note": b"a" * 300}),
    Node("bin/su", b"su", 0o4755),
    Node("dev/null", mode=0o666, device=("c", 1, 3)),
    Node("dev/large", mode=0o660, owner=(0, 6), device=("b", 259, 70_000)),
    Node("dev/pipe", mode=0o600, device=("p", 0, 0)),
    Node("empty"),
    Node("etc/link", link="../bin/ls"),
    Node("home/ada", None, 0o700, (1000, 70_000)),
    Node("home/ada/na\nme \udcff", b"odd", owner=(1000, 70_000), mtime=1_600_000_000),
    Node("holes", b"\0" * 500_000 + b"end"),
    *(Node(f"many/{number:04}", str(number).encode()) for number in range(700)),
)
PACKINGS = (
    ("-comp", "zstd", "-Xcompression-level", "3", "-b", "1M"), ("-comp", "xz", "-b", "128K"), ("-comp", "gzip", "-b", "4K"),
    ("-comp", "xz", "-Xbcj", "x86"), ("-noI", "-noD", "-noF", "-noX"), ("-no-fragments",),
)  # fmt: skip


def listed(file: Path, offset: int = 0, size: int | None = None) -> dict[bytes, tuple[SquashFile, bytes]]:
    with file.open("rb") as opened:
        squashfs = Squashfs(opened, offset, size)
        return {one.path: (one, b"".join(squashfs.content(one))) for one in squashfs.files()}


@pytest.mark.parametrize("packing", PACKINGS, ids=" ".join)
def test_everything_is_read_as_it_was_packed(packing: tuple[str, ...], tmp_path: Path) -> None:
    found = listed(make_squashfs(tmp_path / "root.squashfs", NODES, *packing))
    for node in NODES:
        file, content = found[node.path.encode("utf-8", "surrogateescape")]
        if node.hardlink:
            assert file.inode == found[node.hardlink.encode()][0].inode
            assert content == LARGE
            continue
        assert (stat.S_IMODE(file.mode), (file.uid, file.gid), file.mtime) == (node.mode, node.owner, node.mtime) or (
            node.link and file.link == node.link.encode()
        )
        assert content == (b"" if node.link else node.content or b"")
        assert file.device == node.device[1:]
        assert dict(file.xattrs) == node.xattrs
    kinds = {
        path: stat.S_IFMT(found[path][0].mode) for path in (b".", b"dev/null", b"dev/large", b"dev/pipe", b"etc/link")
    }
    assert list(kinds.values()) == [stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFLNK]
    assert len(found) == len(NODES) + 6, "and bin, dev, etc, home, many and the root"


def test_unsquashfs_sees_the_same(tmp_path: Path) -> None:
    file = make_squashfs(tmp_path / "root.squashfs", [node for node in NODES if "\n" not in node.path])
    out = subprocess.run(("unsquashfs", "-lln", file), check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^(\S{10}) (\d+)/(\d+) +(\d+|\d+, *\d+) \S+ \S+ squashfs-root/?(.*)$", out, re.MULTILINE)
    theirs = {path.partition(" -> ")[0] or ".": (mode, int(uid), int(gid)) for mode, uid, gid, _, path in rows}
    ours = {path.decode(): (stat.filemode(one.mode), one.uid, one.gid) for path, (one, _) in listed(file).items()}
    assert theirs == ours


def test_a_squashfs_is_read_where_it_is_on_a_medium(tmp_path: Path) -> None:
    squashfs = make_squashfs(tmp_path / "filesystem.squashfs", NODES)
    small = tmp_path / "small"
    small.write_bytes(b"set timeout=1\n")
    deep = "Some Folder/" + "x" * 200 + "/" + "ü" * 90
    iso = make_iso(
        tmp_path / "image.iso",
        {"live/filesystem.squashfs": squashfs, "boot/grub/grub.cfg": small, deep: small, ".disk/info": small},
    )
    with iso.open("rb") as file:
        places = files_of_iso(file)
        contents = {}
        for path, place in places.items():
            file.seek(place.offset)
            contents[path] = file.read(place.size)
    assert contents == {
        "live/filesystem.squashfs": squashfs.read_bytes(), "boot/grub/grub.cfg": small.read_bytes(), deep: small.read_bytes(),
        ".disk/info": small.read_bytes(),
    }  # fmt: skip
    place = places["live/filesystem.squashfs"]
    assert listed(iso, place.offset, place.size).keys() == listed(squashfs).keys()


def test_a_medium_without_rock_ridge_has_plain_names(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x")
    iso = tmp_path / "plain.iso"
    (tmp_path / "tree" / "live").mkdir(parents=True)
    (tmp_path / "tree" / "live" / "filesystem.squashfs").hardlink_to(small)
    argv = ("xorriso", "-as", "mkisofs", "-quiet", "--norock", "-o", iso, "-iso-level", "3", tmp_path / "tree")
    subprocess.run(argv, check=True, capture_output=True)
    with iso.open("rb") as file:
        assert list(files_of_iso(file)) == ["live/filesystem.squashfs"]


def test_files_are_told_apart_by_where_they_are_not_by_numbers_that_may_lie(tmp_path: Path) -> None:
    file = make_squashfs(tmp_path / "root.squashfs", [Node("a", b"one"), Node("b", b"two")], "-noI")
    content = bytearray(file.read_bytes())
    first = int.from_bytes(content[64:72], "little") + 2  # of the table of inodes, whose blocks begin with their size
    numbers = [first + 12, first + 32 + 12]  # in inodes of plain files without blocks, 32 bytes each
    assert content[numbers[0]] != content[numbers[1]]
    content[numbers[1]] = content[numbers[0]]
    file.write_bytes(content)
    found = listed(file)
    assert [found[path][1] for path in (b"a", b"b")] == [b"one", b"two"]
    assert found[b"a"][0].inode != found[b"b"][0].inode


def test_a_folder_that_has_a_name_twice_is_refused(tmp_path: Path) -> None:
    """A kernel finds the first of them, and who lists the folder takes the last for what is there."""
    file = make_squashfs(tmp_path / "root.squashfs", [Node("hook-a", b"one"), Node("hook-b", b"two")], "-noI", "-noD")
    content = file.read_bytes()
    assert content.count(b"hook-b") == 1
    file.write_bytes(content.replace(b"hook-b", b"hook-a"))
    with pytest.raises(BadInput, match="not sorted, or a name twice"):
        listed(file)


def looked_at(content: bytes) -> None:
    squashfs = Squashfs(io.BytesIO(content))
    for one in squashfs.files():
        for piece in squashfs.content(one):
            hashlib.sha256(piece)


@pytest.mark.parametrize("packing", PACKINGS[:3], ids=" ".join)
def test_what_is_cut_or_changed_is_read_or_refused(packing: tuple[str, ...], tmp_path: Path) -> None:
    nodes = [*NODES[1:11], Node("bin/ls", b"text " * 3000), *NODES[12:40]]
    nodes = [node for node in nodes if not node.hardlink]
    whole = make_squashfs(tmp_path / "root.squashfs", nodes, *packing, "-nopad").read_bytes()
    looked_at(whole)
    refused = 0
    for size in range(0, len(whole), 7):
        with pytest.raises(BadInput):
            looked_at(whole[:size])
    chance = random.Random(2)  # noqa: S311  # no secret
    for _ in range(600):
        at = chance.choice((chance.randrange(96), chance.randrange(len(whole)), -1 - chance.randrange(500)))
        changed = bytearray(whole)
        changed[at] = chance.randrange(256)
        try:
            looked_at(bytes(changed))
        except BadInput:
            refused += 1
    assert refused > 100


def test_a_medium_that_is_cut_or_changed_is_read_or_refused(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x" * 5000)
    iso = make_iso(tmp_path / "image.iso", {"live/filesystem.squashfs": small, "x" * 200: small}).read_bytes()
    chance, refused = random.Random(3), 0  # noqa: S311  # no secret
    for _ in range(3000):
        changed = bytearray(iso[: chance.choice((len(iso), chance.randrange(len(iso))))])
        for _ in range(3):
            if len(changed) > 60_000:
                changed[chance.randrange(32768, 60_000)] = chance.randrange(256)
        try:
            files_of_iso(io.BytesIO(bytes(changed)))
        except BadInput:
            refused += 1
    assert refused > 100
