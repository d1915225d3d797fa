"""Initrds as mkinitramfs packs them: cpio archives in the new ASCII format."""

from collections.abc import Sequence


def cpio(
    members: Sequence[tuple[str, int, bytes]],
    *,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """Write an archive. members: name, mode with the kind of file, content."""
    out = b""
    for number, (name, mode, content) in enumerate((*members, ("TRAILER!!!", 0, b""))):
        path = name.encode() + b"\0"
        numbers = (number, mode, uid, gid, 1, mtime, len(content), 0, 0, *device, len(path), 0)
        out += b"070701" + b"".join(b"%08X" % value for value in numbers) + path
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return out
