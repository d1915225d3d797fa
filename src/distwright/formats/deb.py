"""Binary packages, .deb(5): everything that control.tar says, within bounds of memory; data.tar is not read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from distwright.errors import BadInput, quoted
from distwright.formats.ar import ArMember, iter_ar, read_exactly
from distwright.formats.compression import decompress
from distwright.formats.deb822 import Stanza, parse_one
from distwright.formats.streaming import unpacked
from distwright.formats.tar import TarKind, TarMember, iter_tar

CONTROL_LIMIT_BYTES = 64 * 1024 * 1024

SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")

_DATA_NAMES = frozenset({"data.tar" + ending for ending in ("", ".gz", ".xz", ".zst", ".bz2", ".lzma")})
_CONTROL_NAMES = frozenset({"control.tar" + ending for ending in ("", ".gz", ".xz", ".zst")})
_FORMAT = re.compile(rb"2\.[0-9]{1,3}\n")
_FORMAT_BYTES = 1024
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_HINT = "build the package again with dpkg-deb"


@dataclass(frozen=True, slots=True)
class DebControl:
    """What a package says of itself. files: all control files by name, `control` among them. data_*: of data.tar."""

    control: Stanza
    files: Mapping[str, bytes]
    data_name: str
    data_size: int

    @property
    def scripts(self) -> Mapping[str, bytes]:
        """The maintainer scripts by name, those that there are."""
        return {name: self.files[name] for name in SCRIPTS if name in self.files}

    @property
    def md5sums(self) -> bytes | None:
        """The file md5sums as it stands, deb-md5sums(5)."""
        return self.files.get("md5sums")

    @property
    def conffiles(self) -> bytes | None:
        """The file conffiles as it stands, deb-conffiles(5)."""
        return self.files.get("conffiles")


def read_deb(file: BinaryIO, *, limit_bytes: int = CONTROL_LIMIT_BYTES) -> DebControl:
    """Read the control part of a .deb, and the header of its data.tar.

    file: opened for reading, seekable; from its beginning. limit_bytes: for control.tar, packed and unpacked each; memory is about
    three times what it takes. Raises BadInput for members that are missing, out of order or cut off, for a format other than 2.x,
    a control.tar that is damaged or too large, and for control files that are there twice, in folders, links or devices.
    """
    members = [member for member in iter_ar(file) if not member.name.startswith("_")]
    names = [member.name for member in members[:3]]
    if len(names) < 3 or names[0] != "debian-binary" or names[1] not in _CONTROL_NAMES or names[2] not in _DATA_NAMES:
        raise BadInput(
            f"a .deb has debian-binary, control.tar and data.tar, in this order; here is {quoted(' '.join(names))}",
            hint=_HINT,
        )
    _check_format(file, members[0])
    files = _control_files(_unpacked(file, members[1], limit_bytes))
    if "control" not in files:
        raise BadInput("the .deb has no file control in its control.tar", hint=_HINT)
    return DebControl(parse_one(files["control"]), files, members[2].name, members[2].size)


def _check_format(file: BinaryIO, member: ArMember) -> None:
    file.seek(member.offset)
    content = read_exactly(file, min(member.size, _FORMAT_BYTES))
    if not _FORMAT.match(content):
        raise BadInput(f"the .deb is of format {quoted(content.decode('latin-1'), 20)}, not 2.x", hint=_HINT)


def _unpacked(file: BinaryIO, member: ArMember, limit_bytes: int) -> bytes:
    ending = member.name.removeprefix("control.tar")
    if member.size > limit_bytes:
        raise BadInput(f"{member.name} of the .deb has {member.size} bytes, {limit_bytes} are allowed", hint=_HINT)
    file.seek(member.offset)
    try:
        content = read_exactly(file, member.size)
        if ending == ".zst":
            parts = iter((content,))
            return b"".join(unpacked(lambda _size: next(parts, b""), ending, limit_bytes=limit_bytes))
        return decompress(content, ending, limit_bytes=limit_bytes)
    except BadInput as problem:
        raise BadInput(f"{member.name} of the .deb: {problem.message}", hint=_HINT) from None


def _control_files(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for member in iter_tar(data):
        if member.kind is TarKind.FOLDER and member.name in (".", "./"):
            continue
        name = _control_name(member)
        if name in files:
            raise BadInput(f"the .deb has the control file {name} twice", hint=_HINT)
        files[name] = member.content
    return files


def _control_name(member: TarMember) -> str:
    name = member.name.removeprefix("./")
    if member.kind is not TarKind.FILE or not _FILE_NAME.fullmatch(name):
        raise BadInput(f"the control.tar of the .deb has the {member.kind} {quoted(member.name)}", hint=_HINT)
    return name
