"""A .changes that announces, beside what was built, the source: one that came as files and that its suite does not have."""

import hashlib
from collections.abc import Mapping

from distwright.formats.changes import parse_changes
from distwright.formats.deb822 import parse_one, write_stanza
from distwright.formats.values import FileHash
from distwright.model.digests import Sha256
from distwright.store.objects import ObjectStore

_PIECE = 1 << 20
_LISTS = ("Checksums-Sha1", "Checksums-Sha256", "Files")


def with_source(content: bytes, files: Mapping[str, FileHash]) -> bytes:
    """Add a source to a .changes as dpkg-genchanges would have: to its architectures and its lists. Raises BadInput.

    Section and priority are those of the first package, as a source's are those of its first paragraph.
    """
    packages = [file for file in parse_changes(content).files if file.name.endswith((".deb", ".udeb"))]
    section, priority = (packages[0].section, packages[0].priority) if packages else ("misc", "optional")
    lines = {
        "Checksums-Sha1": [f"{file.sha1} {file.size} {file.name}" for file in files.values()],
        "Checksums-Sha256": [f"{file.sha256} {file.size} {file.name}" for file in files.values()],
        "Files": [f"{file.md5} {file.size} {section} {priority} {file.name}" for file in files.values()],
    }
    rows: list[tuple[str, str]] = []
    for name, value in parse_one(content).items():
        if name == "Architecture":
            rows.append((name, f"source {value}"))
        elif name in _LISTS:
            rows.append((name, "\n".join(["", *(f" {line}" for line in lines[name]), value.lstrip("\n")])))
        else:
            rows.append((name, value))
    return write_stanza(rows)


def hashes_of(objects: ObjectStore, files: Mapping[str, Sha256]) -> dict[str, FileHash]:
    """Hash the files of a source in every way that a .changes lists, the .dsc first."""
    ordered = sorted(files, key=lambda name: (not name.endswith(".dsc"), name))
    found: dict[str, FileHash] = {}
    for name in ordered:
        md5, sha1 = hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)
        with objects.open(files[name]) as file:
            while piece := file.read(_PIECE):
                md5.update(piece)
                sha1.update(piece)
        found[name] = FileHash(name, objects.size(files[name]), files[name], md5.hexdigest(), sha1.hexdigest())
    return found
