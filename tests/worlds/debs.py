"""Packages whose every byte a test says: members of their tars with owners, modes and times, compression, times of the outside."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import zstandard
from tests.worlds.times import DATE

NOW = int(DATE.timestamp())
CONTROL = (
    "Package: tern\nVersion: 1.0\nArchitecture: amd64\nMaintainer: Ada Example <ada@example.org>\nInstalled-Size: 8\n"
    "Depends: libc6 (>= 2.36)\nDescription: a bird\n"
)


@dataclass(frozen=True)
class Member:
    """A member of a tar. content: None for a folder, text for a file. link: makes a symbolic link."""

    path: str
    content: bytes | None = b""
    mode: int = 0o644
    owner: tuple[int, int, str, str] = (0, 0, "root", "root")
    mtime: int = NOW
    link: str = ""


def tar_of(members: Sequence[Member], *, form: int = tarfile.GNU_FORMAT) -> bytes:
    """Write members as they come."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member in members:
            row = tarfile.TarInfo(f"./{member.path}")
            row.mode, row.mtime = member.mode, member.mtime
            row.uid, row.gid, row.uname, row.gname = member.owner
            content = member.content or b""
            if member.link:
                row.type, row.linkname, content = tarfile.SYMTYPE, member.link, b""
            elif member.content is None:
                row.type = tarfile.DIRTYPE
            row.size = len(content)
            tar.addfile(row, io.BytesIO(content))
    return out.getvalue()


def packed(content: bytes, ending: str, *, gzip_time: int = 0) -> bytes:
    """Compress as the ending of a name says."""
    if ending == ".gz":
        return gzip.compress(content, 9, mtime=gzip_time)
    if ending == ".xz":
        return lzma.compress(content)
    return zstandard.compress(content) if ending == ".zst" else content


def ar_of(members: Sequence[tuple[str, bytes]], *, mtime: int = NOW) -> bytes:
    """Write an ar archive."""
    out = [b"!<arch>\n"]
    for name, content in members:
        out.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), mtime, 0, 0, b"100644", len(content)))
        out.append(content + b"\n" * (len(content) % 2))
    return b"".join(out)


def deb_of(
    *members: Member,
    control: str = CONTROL,
    scripts: Mapping[str, bytes] | None = None,
    ending: str = ".xz",
    gzip_time: int = 0,
    outer_mtime: int = NOW,
) -> bytes:
    """Write a .deb. scripts: control files beside `control`."""
    files = {"control": control.encode(), **(scripts or {})}
    control_tar = tar_of([Member(name, content) for name, content in files.items()])
    parts = (
        ("debian-binary", b"2.0\n"),
        (f"control.tar{ending}", packed(control_tar, ending, gzip_time=gzip_time)),
        (f"data.tar{ending}", packed(tar_of(members), ending, gzip_time=gzip_time)),
    )
    return ar_of(parts, mtime=outer_mtime)
