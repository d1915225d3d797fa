"""The ordinary .deb, read fast: control data and its paragraph for the index in about 60 µs.

`dpkg-deb` writes every package the same way; what is written that way is read here without building a value for each part. Anything
that is not exactly so gives None, and the caller takes the strict reader (`deb.read_deb`), which says what is wrong or takes it.
A test holds both to the same bytes.
"""

import hashlib
import lzma
import re
import zlib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from distwright.formats.deb822 import FIELDS_LIMIT
from distwright.formats.packages import FIELD_PLACES, FIELDS_BEFORE, OWN_FIELDS
from distwright.formats.relations import BUILT_FROM, WITH_CHOICE, WITHOUT_CHOICE

_MAGIC = b"!<arch>\n"
_FORMAT_NAMES = frozenset({b"debian-binary   "})
_DATA_NAMES = frozenset(
    b"%-16s" % (b"data.tar" + ending) for ending in (b"", b".gz", b".xz", b".zst", b".bz2", b".lzma")
)
_AR_HEADER = 60
_CONTROL_LIMIT_BYTES = 1 << 20
_CONTROL_FILE_BYTES = 128 << 10  # so that no paragraph that is made of it comes near what an index may have
_FIELDS = FIELDS_LIMIT - 50
_BLOCK = 512
_ZEROS = bytes(_BLOCK)
# What follows the name in a tar header: mode, owner, size, time, checksum, kind, no link, magic, names, no prefix.
_TAR_HEADER = re.compile(
    rb"[0-7]{7}\0(?:[0-7]{7}\0){2}([0-7]{11})[\0 ][0-7]{11}[\0 ]([0-7]{6})\0 ([05])\0{100}ustar(?:  \0|\x0000).{80}\0",
    re.DOTALL,
)
_ADLER = 65521
# Possessive throughout: what is given back line by line on a bad one would take for ever.
_NAME = rb"[!\"$-,./-9;-~][!-9;-~]*+"
_FIELD = re.compile(rb"(" + _NAME + rb"):[ \t]*+([^\n]*+(?>(?:\n[ \t][^\n]*+)*))\n")
# An atomic group, not `(?:…)++`: with that, fullmatch of Python 3.11.2 takes a text with a rest that does not match.
_WHOLE = re.compile(rb"(?>(?:" + _NAME + rb":[^\n]*+\n(?>(?:[ \t]++[^\n]++\n)*))+)")
_ODD_SIGNS = bytes(sign for sign in (*range(32), 127) if sign not in b"\t\n")
_PACKAGE = re.compile(rb"[a-z0-9][a-z0-9+.-]{1,127}")
_VERSION_TEXT = rb"(?:[0-9]{1,9}:)?[0-9][A-Za-z0-9.+~]*(?:-[A-Za-z0-9.+~-]*[A-Za-z0-9.+~])?"
_VERSION = re.compile(_VERSION_TEXT)
_ARCHITECTURE = re.compile(rb"[a-z0-9][a-z0-9-]*")
_SOURCE = re.compile(rb"([a-z0-9][a-z0-9+.-]{1,127})(?: \(" + _VERSION_TEXT + rb"\))?")
_NAMES_LIMIT = 190  # of what its path in the pool is made of: the strict reader says what is too long
_SECTION = re.compile(rb"[a-z0-9-]+(?:/[a-z0-9-]+)?")
# Relations as dpkg-gencontrol writes them, in no more than linear time; the strict reader knows the rest.
_NEEDED = rb"[a-z0-9][a-z0-9+.-]{1,127}+(?::[a-z0-9-]++)?"
_NUMBER = rb"[0-9]{1,9}+(?::[0-9])?[A-Za-z0-9.+~-]*+(?<!-)"
_RELATED = _NEEDED + rb"(?: \((?:[<>]?=|<<|>>) " + _NUMBER + rb"\))?"
_PROVIDED = _NEEDED + rb"(?: \(= " + _NUMBER + rb"\))?"
_USED = _NEEDED + rb" \(= " + _NUMBER + rb"\)"


def _relations(one: bytes, parting: bytes) -> Callable[[bytes], re.Match[bytes] | None]:
    return re.compile(one + rb"(?>(?:" + parting + rb" " + one + rb")*)[ \t]*+").fullmatch


_ORDINARY = tuple(
    {
        **{name.lower().encode(): _relations(_RELATED, rb"(?:,| \|)") for name in WITH_CHOICE},
        **{name.lower().encode(): _relations(_RELATED, rb",") for name in WITHOUT_CHOICE},
        **{name.lower().encode(): _relations(_USED, rb",") for name in BUILT_FROM},
        b"provides": _relations(_PROVIDED, rb","),
    }.items()
)
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
    if (
        control is None
        or len(control) > _CONTROL_FILE_BYTES
        or not _WHOLE.fullmatch(control)
        or len(control.translate(None, _ODD_SIGNS)) != len(control)
    ):
        return None
    try:
        control.decode()
    except UnicodeDecodeError:
        return None
    fields: dict[bytes, tuple[bytes, bytes]] = {match[0].lower(): match for match in _FIELD.findall(control)}
    if len(fields) > _FIELDS or len(fields) != control.count(b"\n") - len(_CONTINUATION.findall(control)):
        return None
    if any(value.startswith(b"\n") for _, value in fields.values()):
        return None
    for name, is_ordinary in _ORDINARY:
        if name in fields and (text := fields[name][1]) and not is_ordinary(text):
            return None
    return _quick(fields)


_CONTINUATION = re.compile(rb"\n[ \t]")


def _quick(fields: dict[bytes, tuple[bytes, bytes]]) -> QuickDeb | None:
    empty = (b"", b"")
    if fields.get(b"package", empty)[0] != b"Package" or fields.get(b"source", (b"Source", b""))[0] != b"Source":
        return None
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
        and len(name) + len(version) + len(architecture) + len(section) <= _NAMES_LIMIT
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
        (_PLACES.get(key, _MIDDLE), item[0], item[1].rstrip(b" \t"))
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
    digest = hashlib.md5(description + b"\n", usedforsecurity=False).hexdigest().encode()
    return b"Package: %b\nDescription-md5: %b\nDescription-en: %b\n" % (deb.name.encode(), digest, description)


def _control_file(data: bytes) -> bytes | None:
    """Give the file control of control.tar, if the package is laid out as dpkg-deb does it."""
    if not data.startswith(_MAGIC):
        return None
    first = _ar_member(data, len(_MAGIC), _FORMAT_NAMES)
    if first is None or data[first[0] : first[1]] != b"2.0\n":
        return None
    control = _ar_member(data, first[1], _UNPACKERS)
    if control is None or control[1] - control[0] > _CONTROL_LIMIT_BYTES:
        return None
    begin, end = control
    last = _ar_member(data, end + (end - begin) % 2, _DATA_NAMES)
    if last is None or not last[1] <= len(data) <= last[1] + (last[1] - last[0]) % 2:
        return None
    tar = _UNPACKERS[data[begin - _AR_HEADER : begin - _AR_HEADER + 16]](data[begin:end])
    return None if tar is None else _control_of_tar(tar)


def _ar_member(data: bytes, at: int, names: Container[bytes]) -> tuple[int, int] | None:
    """Give begin and end of the content of the member whose header is at `at`, if it has one of the names."""
    header = data[at : at + _AR_HEADER]
    size, mtime = header[48:58].rstrip(b" "), header[16:28].rstrip(b" ")
    if header[:16] not in names or header[58:] != b"`\n" or header[40:48] != b"100644  ":
        return None
    if not size.isdigit() or not mtime.isdigit():
        return None
    return at + _AR_HEADER, at + _AR_HEADER + int(size)


def _control_of_tar(tar: bytes) -> bytes | None:
    control: bytes | None = None
    at, seen, end = 0, set(), len(tar)
    while at < end and tar[at : at + _BLOCK] != _ZEROS:
        name = tar[at : at + 100].rstrip(b"\0")
        header = _TAR_HEADER.match(tar, at + 100, at + _BLOCK)
        if name not in _CONTROL_FILES or name in seen or header is None or not _has_checksum(tar, at, header[2]):
            return None
        seen.add(name)
        size = int(header[1], 8)
        if (header[3] == b"5") != (name == b"./") or (size and name == b"./"):
            return None
        at += _BLOCK
        if name == b"./control":
            control = tar[at : at + size]
        at += (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if at > end:
            return None
    return control


def _has_checksum(tar: bytes, at: int, wanted: bytes) -> bool:
    """Compare the sum of the bytes of a header, its checksum taken as blanks; Adler-32 counts it ten times as fast as `sum`."""
    total = (zlib.adler32(tar[at : at + _BLOCK]) & 0xFFFF) - 1 - sum(tar[at + 148 : at + 156]) + 8 * 0x20
    return (total - int(wanted, 8)) % _ADLER == 0


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
