"""Real sources of Debian that are built here, and what became of them against Debian's own binaries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
SOURCES = ("hello", "tini", "bzip2", "dash", "jq", "libseccomp", "sed", "gzip", "xz-utils", "libzstd")
SMALL = SOURCES[:3]

SAME, DIFFERS, REBUILT, ABSENT = "same", "differs", "rebuilt by Debian", "not in the archive"
_CODE = ("bin/", "sbin/", "lib/", "usr/bin/", "usr/sbin/", "usr/lib/", "usr/libexec/", "usr/share/win32/")
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
                found.append(Against(file, DIFFERS, reasons_of(compare_files(file, first, second))))
    return found


def reasons_of(differences: Iterable[Difference]) -> tuple[str, ...]:
    """Say what a newer toolchain explains, each reason once, and what it does not."""
    found = dict.fromkeys(reason_of(difference) for difference in differences)
    return tuple(reason for reason in found if reason != _FOLLOWS)


def reason_of(one: Difference) -> str:
    """Explain a difference between Debian's package (first) and ours, built of the same source later."""
    is_content = one.kind is DifferenceKind.CONTENT
    if one.path == "md5sums" or one.first.startswith("Installed-Size:"):
        return _FOLLOWS
    if "/changelog" in one.path and "# Older entries have been rem" in one.second:
        return "a newer debhelper leaves old changelog entries out"
    if one.kind is DifferenceKind.FIELD and one.first.partition(":")[0] in ("Depends", "Pre-Depends", "Recommends"):
        return f"newer libraries: {one.first} here {one.second.partition(': ')[2]}"
    if is_content and one.path.startswith(_CODE):
        return f"another compiler or library: code of /{one.path}"
    return f"{UNEXPLAINED}: {one.in_words()}"
