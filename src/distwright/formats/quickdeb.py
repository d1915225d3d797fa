"""The ordinary .deb, read fast: control data and its paragraph for the index in about 60 µs.

`dpkg-deb` writes every package the same way; what is written that way is read here without building a value for each part. Anything
that is not exactly so gives None, and the caller takes the strict reader (`deb.read_deb`), which says what is wrong or takes it.
A test holds both to the same bytes.
"""

import hashlib
import lzma
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from distwright.formats.packages import FIELD_PLACES, FIELDS_BEFORE, OWN_FIELDS

_AR_HEAD = b"!<arch>\ndebian-binary   "
_FIRST_MEMBER_END = 72
_CONTROL_LIMIT_BYTES = 1 << 20
_BLOCK = 512
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n")
_WHOLE = re.compile(rb"(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*[^ \t\n][^\n]*\n)*)+")
_PACKAGE = re.compile(rb"[a-z0-9][a-z0-9+.-]{1,127}")
_VERSION = re.compile(rb"(?:[0-9]{1,9}:)?[0-9][A-Za-z0-9.+~]*(?:-[A-Za-z0-9.+~-]*[A-Za-z0-9.+~])?")
_ARCHITECTURE = re.compile(rb"[a-z0-9][a-z0-9-]*")
_SOURCE = re.compile(rb"([a-z0-9][a-z0-9+.-]{1,127})(?: \([0-9][A-Za-z0-9.+:~-]*\))?")
_SECTION = re.compile(rb"[a-z0-9-]+(?:/[a-z0-9-]+)?")
_CONTROL_FILES = frozenset(
    b"./" + name
    for name in b" control md5sums preinst postinst prerm postrm conffiles triggers shlibs symbols config templates".split(
        b" "
    )
)
_MIDDLE = FIELDS_BEFORE
_PLACES = {name.encode(): place for name, place in FIELD_PLACES.items()}
_OWN = frozenset(name.encode() for name in OWN_FIELDS)


@dataclass(slots=True)
class QuickDeb:
    """name … source: as the control file has them. fields: lower-case name -> (name, value), in order; description: the whole."""

    name: str
    version: str
    architecture: str
    source: str
    section: str
    fields: dict[bytes, tuple[bytes, bytes]]
    description: bytes


def quick_deb(data: bytes) -> QuickDeb | None:
    """Read a whole .deb; None if anything about it is out of the ordinary."""
    control = _control_file(data)
    if control is None or not _WHOLE.fullmatch(control) or b"\r" in control or b"\0" in control:
        return None
    try:
        control.decode()
    except UnicodeDecodeError:
        return None
    fields = {match[0].lower(): match for match in _FIELD.findall(control)}
    if len(fields) != control.count(b"\n") - len(_CONTINUATION.findall(control)):
        return None
    return _quick(fields)


_CONTINUATION = re.compile(rb"\n[ \t]")


def _quick(fields: dict[bytes, tuple[bytes, bytes]]) -> QuickDeb | None:
    empty = (b"", b"")
    name, version = fields.get(b"package", empty)[1], fields.get(b"version", empty)[1]
    architecture, description = fields.get(b"architecture", empty)[1], fields.get(b"description", empty)[1]
    section, source = fields.get(b"section", empty)[1], fields.get(b"source", (b"", name))[1]
    found = _SOURCE.fullmatch(source)
    if not (
        _PACKAGE.fullmatch(name)
        and _VERSION.fullmatch(version)
        and _ARCHITECTURE.fullmatch(architecture)
        and description
        and fields.get(b"maintainer", empty)[1]
        and found
        and (not section or _SECTION.fullmatch(section))
    ):
        return None
    return QuickDeb(
        name.decode(), version.decode(), architecture.decode(), found[1].decode(), section.decode(), fields, description
    )


def quick_stanza(deb: QuickDeb, *, filename: str, size: int, md5: str, sha256: str) -> bytes:
    """Write the paragraph of the index, byte for byte as `packages.package_stanza` does."""
    description = deb.description.rstrip(b" \t\n")
    synopsis = description.partition(b"\n")[0].rstrip(b" \t")
    rows = [
        (_PLACES.get(key, _MIDDLE), item[0], item[1])
        for key, item in deb.fields.items()
        if key not in _OWN and key != b"description" and item[1]
    ]
    rows += (
        (_PLACES[b"description"], b"Description", synopsis),
        (_MIDDLE, b"Description-md5", hashlib.md5(description + b"\n", usedforsecurity=False).hexdigest().encode()),
        (_PLACES[b"filename"], b"Filename", filename.encode()),
        (_PLACES[b"size"], b"Size", b"%d" % size),
        (_PLACES[b"md5sum"], b"MD5sum", md5.encode()),
        (_PLACES[b"sha256"], b"SHA256", sha256.encode()),
    )
    rows.sort()
    return b"".join([b"%b: %b\n" % (name, value) for _, name, value in rows])


def quick_translation(deb: QuickDeb) -> bytes:
    """Write the paragraph of Translation-en, byte for byte as `packages.translation_stanza` does."""
    description = deb.description.rstrip(b" \t\n")
    synopsis, newline, rest = description.partition(b"\n")
    digest = hashlib.md5(description + b"\n", usedforsecurity=False).hexdigest().encode()
    text = synopsis.rstrip(b" \t") + newline + rest
    return b"Package: %b\nDescription-md5: %b\nDescription-en: %b\n" % (deb.name.encode(), digest, text)


def _control_file(data: bytes) -> bytes | None:
    """Give the file control of control.tar, if the package is laid out as dpkg-deb does it."""
    if not data.startswith(_AR_HEAD) or data[66:72] != b"`\n2.0\n" or data[56:66].strip() != b"4":
        return None
    at = _FIRST_MEMBER_END
    unpack = _UNPACKERS.get(data[at : at + 16])
    size = data[at + 48 : at + 58].strip()
    if unpack is None or not size.isdigit() or data[at + 58 : at + 60] != b"`\n":
        return None
    begin, length = at + 60, int(size)
    data_at = begin + length + (length & 1)
    if length > _CONTROL_LIMIT_BYTES or data[data_at : data_at + 8] != b"data.tar":
        return None
    data_size = data[data_at + 48 : data_at + 58].strip()
    if not data_size.isdigit() or not 0 <= len(data) - (data_at + 60 + int(data_size)) <= 1:
        return None
    tar = unpack(data[begin : begin + length])
    return None if tar is None else _control_of_tar(tar)


def _control_of_tar(tar: bytes) -> bytes | None:
    control: bytes | None = None
    at, seen = 0, set()
    end = len(tar)
    while at + _BLOCK <= end:
        name = tar[at : at + 100].rstrip(b"\0")
        if not name:
            break
        kind = tar[at + 156 : at + 157]
        size_text = tar[at + 124 : at + 135]
        if name not in _CONTROL_FILES or name in seen or (kind != b"0" and not (kind == b"5" and name == b"./")):
            return None
        if tar[at + 345 : at + 346] != b"\0" or not size_text.isdigit():
            return None
        seen.add(name)
        size = int(size_text, 8)
        if name == b"./control":
            control = tar[at + _BLOCK : at + _BLOCK + size]
            if len(control) != size:
                return None
        at += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    return control


def _unxz(data: bytes) -> bytes | None:
    try:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, 64 << 20)
        tar = decompressor.decompress(data, _CONTROL_LIMIT_BYTES)
    except lzma.LZMAError:
        return None
    return tar if decompressor.eof and not decompressor.unused_data else None


def _gunzip(data: bytes) -> bytes | None:
    try:
        decompressor = zlib.decompressobj(wbits=31)
        tar = decompressor.decompress(data, _CONTROL_LIMIT_BYTES)
    except zlib.error:
        return None
    return tar if decompressor.eof and not decompressor.unused_data else None


_UNPACKERS: Mapping[bytes, Callable[[bytes], bytes | None]] = {
    b"control.tar.xz  ": _unxz,
    b"control.tar.gz  ": _gunzip,
}
