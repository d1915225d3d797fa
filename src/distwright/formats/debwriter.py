"""Write a small .deb, deb(5): the same bytes for the same content, whoever writes it and when."""

import hashlib
import lzma
import tarfile
from collections.abc import Mapping, Sequence

from distwright.errors import BadInput, quoted
from distwright.formats.ar import AR_MAGIC
from distwright.formats.paths import safe_path

_BLOCK, _RECORD = 512, 10240
_AR_LIMIT_BYTES = 10**10
_PRESET = 6


def write_deb(control: Mapping[str, str], files: Mapping[str, bytes], moment: int) -> bytes:
    """Write a package of plain files.

    control: fields in order; Installed-Size is added. files: path without a leading slash -> content, all of root, mode 0644.
    moment: Unix time of everything in it. Raises BadInput for a path that could leave the root.
    """
    for path in files:
        if safe_path(path) != path:
            raise BadInput(
                f"{quoted(path)} cannot be a path in a package", hint="write it without a leading slash or ./"
            )
    size_kib = sum(-(-len(content) // 1024) for content in files.values()) + len(_folders(files))
    text = "".join(f"{name}: {value}\n" for name, value in {**control, "Installed-Size": str(size_kib)}.items())
    sums = "".join(
        f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  {path}\n"
        for path, content in sorted(files.items())
    )
    parts = {"control": text.encode(), "md5sums": sums.encode()}
    members = (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(write_tar(parts, moment), preset=_PRESET)),
        ("data.tar.xz", lzma.compress(write_tar(files, moment), preset=_PRESET)),
    )
    return write_ar(members, moment)


def write_ar(members: Sequence[tuple[str, bytes]], moment: int) -> bytes:
    """Write an ar archive of plain files; names have at most 16 signs."""
    made = [AR_MAGIC]
    for name, content in members:
        if len(name) > 16 or len(content) >= _AR_LIMIT_BYTES:
            raise BadInput(
                f"{quoted(name)} does not fit into an ar archive", hint="use a short name, and less than 10 GB"
            )
        made.append(f"{name:<16}{moment:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        made.append(content + b"\n" * (len(content) % 2))
    return b"".join(made)


def write_tar(files: Mapping[str, bytes], moment: int) -> bytes:
    """Write a tar of plain files and the folders above them, sorted, all of root."""
    entries: dict[str, bytes | None] = {**dict.fromkeys(_folders(files)), **files}
    made = []
    for path, content in sorted(entries.items()):
        header = tarfile.TarInfo(f"./{path}" if path else "./")
        header.mtime, header.uname, header.gname = moment, "root", "root"
        header.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
        header.mode = 0o755 if content is None else 0o644
        header.size = len(content or b"")
        made.append(header.tobuf(tarfile.GNU_FORMAT))
        made.append((content or b"") + bytes(-len(content or b"") % _BLOCK))
    made.append(bytes(2 * _BLOCK))
    length = sum(map(len, made))
    return b"".join([*made, bytes(-length % _RECORD)])


def _folders(files: Mapping[str, bytes]) -> set[str]:
    folders = {""}
    for path in files:
        parts = path.split("/")[:-1]
        folders |= {"/".join(parts[: count + 1]) for count in range(len(parts))}
    return folders
