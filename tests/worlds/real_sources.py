"""Real sources of Debian that are built here, and what became of them against Debian's own binaries."""

import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from distwright.app import App
from distwright.archive.chosen import entries_where
from distwright.archive.shelf import Shelf
from distwright.archive.snapshots import parse_snapshot
from distwright.checks.difference import Difference, DifferenceKind, compare_files
from distwright.formats.deb822 import raw_field
from distwright.formats.packages import package_entry
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import Sha256
from distwright.store.archives import find_snapshot

# In the order of what their builds take, about; the first ones are for tests that cannot wait.
SOURCES = ("tini", "bzip2", "dash", "hello", "jq", "libseccomp", "sed", "gzip", "xz-utils", "less")
SMALL = SOURCES[:3]
# What is not the same when it is built in another year, of itself: `hello --version` says the year, from `date` in its configure.
BEARS_ITS_YEAR = frozenset({"hello"})

SAME, DIFFERS, REBUILT, ABSENT = "same", "differs", "rebuilt by Debian", "not in the archive"
_CODE = ("bin/", "sbin/", "lib/", "usr/bin/", "usr/sbin/", "usr/lib/", "usr/libexec/", "usr/share/win32/")
_NOTE = b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0"  # elf(5): sizes of name and description, NT_GNU_BUILD_ID, the name
_FOLLOWS = "follows"
UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Against:
    """A package that was built here. reasons: why it is not Debian's, each once."""

    file: str
    verdict: str
    reasons: tuple[str, ...] = ()


def against_debian(app: App, archive: str, suite: str, serial: str, files: Mapping[str, Sha256]) -> list[Against]:
    """Compare packages with those of the same name and version in a recorded suite; debug symbols are in another archive."""
    context = app.command_context()
    with app.database.read() as tx:
        row = find_snapshot(tx, archive, serial)
    assert row is not None
    ours = {name: digest for name, digest in files.items() if name.endswith(".deb") and "-dbgsym_" not in name}
    names = {name.partition("_")[0].encode() for name in ours}
    recorded = parse_snapshot(context.objects.read(row.digest)).suites[suite]
    entries = entries_where(recorded, context.objects, lambda raw: raw_field(raw, b"Package") in names)
    theirs = {(entry.name, str(entry.version)): package_entry(entry.stanza) for entry in entries}
    shelf = Shelf(
        [ShelfEntry(archive, suite, row.digest)], context, context.paths.cache / "pool", mirrors=context.mirrors
    )
    found = []
    for file, digest in sorted(ours.items()):
        name = file.partition("_")[0]
        known = next((entry for entry in theirs.values() if entry.filename.rpartition("/")[2] == file), None)
        if known is None:
            others = [version_of for of, version_of in theirs if of == name]
            is_rebuilt = any("+b" in other for other in others)
            found.append(Against(file, REBUILT if is_rebuilt else ABSENT, tuple(others)))
        elif known.sha256 == digest:
            found.append(Against(file, SAME))
        else:
            with shelf.find(f"{archive}/{known.filename}")[0] as first, context.objects.open(digest) as second:
                differences = compare_files(file, first, second)
                both = members_of(first), members_of(second)
            found.append(Against(file, DIFFERS, reasons_of(differences, *both)))
    return found


def members_of(deb: BinaryIO) -> dict[str, bytes]:
    """Read the files of a .deb."""
    deb.seek(0)
    packed = subprocess.run(["dpkg-deb", "--fsys-tarfile", "/dev/stdin"], stdin=deb, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as tar:
        files = [(member.name.removeprefix("./"), tar.extractfile(member)) for member in tar if member.isfile()]
        return {name: file.read() for name, file in files if file is not None}


def reasons_of(
    differences: Iterable[Difference], theirs: Mapping[str, bytes], ours: Mapping[str, bytes]
) -> tuple[str, ...]:
    """Say what a newer toolchain explains, each reason once, and what it does not."""
    found = dict.fromkeys(reason_of(one, theirs.get(one.path, b""), ours.get(one.path, b"")) for one in differences)
    return tuple(reason for reason in found if reason != _FOLLOWS)


def code_reason(path: str, theirs: bytes, ours: bytes) -> str:
    """Say what of a program is other: its build ID alone, that and a year, or its code."""
    code = f"another compiler or library: code of /{path}"
    if len(theirs) != len(ours):
        return code
    places = [at for at, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other]
    left = [at for at in places if not any(begin <= at < end for begin, end in _id_ranges(theirs))]
    if not left:
        return f"other debug symbols, the code is the same: the build ID of /{path}"
    years = [(_year(theirs, at), _year(ours, at)) for at in left]
    if all(one and other for one, other in years):
        return f"/{path} bears the year of its build: {years[0][0]}, here {years[0][1]}"
    return code


def _id_ranges(program: bytes) -> list[tuple[int, int]]:
    """Find the note with the build ID, and the name and checksum of the debug symbols (both follow from them)."""
    note, link = program.find(_NOTE), program.find(b".debug\0")
    found = [(note, note + len(_NOTE) + 20)] if note >= 0 else []
    return [*found, (link - 38, link + 16)] if link >= 0 else found


def _year(program: bytes, at: int) -> int | None:
    """Give the year that a number of four bytes says of which one byte is at a place, in either of its low bytes."""
    for begin in (at, at - 1):
        number = int.from_bytes(program[begin : begin + 4], "little")
        if 1990 <= number < 2100:
            return number
    return None


def reason_of(one: Difference, theirs: bytes, ours: bytes) -> str:
    """Explain a difference between Debian's package (first) and ours, built of the same source later."""
    is_content = one.kind is DifferenceKind.CONTENT
    if one.path == "md5sums" or one.first.startswith("Installed-Size:"):
        return _FOLLOWS
    if "/changelog" in one.path and "# Older entries have been rem" in one.second:
        return "a newer debhelper leaves old changelog entries out"
    if one.kind is DifferenceKind.FIELD and one.first.partition(":")[0] in ("Depends", "Pre-Depends", "Recommends"):
        return f"newer libraries: {one.first} here {one.second.partition(': ')[2]}"
    if is_content and one.path.startswith(_CODE):
        return code_reason(one.path, theirs, ours)
    return f"{UNEXPLAINED}: {one.in_words()}"
