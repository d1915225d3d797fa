"""The document of a tagged snapshot, and its files below `public/ARCHIVE/snapshots/TAG/`: plain ones, for any server and rsync."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.trees import INDEXES, SNAPSHOTS, ServedTree
from distwright.errors import BadInput
from distwright.formats.release import IndexEntry
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.store.objects import ObjectStore
from distwright.store.settle import settle_folders

TAG_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TaggedSuite:
    """signed: the three Release files. indexes: the document of the index set. files: its files, by path."""

    signed: Mapping[str, Sha256]
    indexes: Sha256
    files: Mapping[str, IndexEntry]

    @property
    def digests(self) -> tuple[Sha256, ...]:
        """Its index files, as they lie by hash."""
        return tuple(entry.sha256 for entry in self.files.values())


@dataclass(frozen=True, slots=True)
class TagDocument:
    """Everything that a tagged snapshot consists of, so that who holds it holds all. pool: path -> object."""

    suites: Mapping[str, TaggedSuite]
    pool: Mapping[str, Sha256]
    manifest: Sha256

    def to_bytes(self) -> bytes:
        """Give the canonical form."""
        suites: dict[str, Json] = {
            name: {
                "signed": dict(suite.signed),
                "indexes": suite.indexes,
                "files": {path: [entry.sha256, entry.size] for path, entry in suite.files.items()},
            }
            for name, suite in self.suites.items()
        }
        return canonical_json(
            {"format": TAG_FORMAT, "suites": suites, "pool": dict(self.pool), "manifest": self.manifest}
        )


def parse_tag(content: bytes) -> TagDocument:
    """Read what `to_bytes` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != TAG_FORMAT:
        raise BadInput(f"tag has format {document.get('format')!r}", hint="install the distwright that wrote it")
    suites = {
        name: TaggedSuite(
            plain.digest_map(suite, "signed"),
            plain.digest(suite, "indexes"),
            {path: IndexEntry(path, size, Sha256(digest)) for path, (digest, size) in suite["files"].items()},
        )
        for name, suite in document["suites"].items()
    }
    return TagDocument(suites, plain.digest_map(document, "pool"), plain.digest(document, "manifest"))


def serve_tag(root: Path, tag: str, document: TagDocument, objects: ObjectStore) -> None:
    """Lay out a tagged snapshot below an archive's public folder; it appears whole, by one rename, and is never changed."""
    final = root / SNAPSHOTS / tag
    if final.exists():
        return
    tree = ServedTree(root)
    tree.add_pool(document.pool.items(), objects)
    partial = final.with_name(f".new-{tag}")
    shutil.rmtree(partial, ignore_errors=True)
    (root / "pool").mkdir(parents=True, exist_ok=True)
    folders = {partial, partial / "dists"}
    for name, suite in document.suites.items():
        tree.add_indexes(suite.indexes, suite.files, objects)
        folder = partial / "dists" / name
        folder.mkdir(parents=True)
        for file, digest in suite.signed.items():
            objects.place(digest, folder / file)
        of_set, place = root / INDEXES / suite.indexes, final / "dists" / name
        for entry in sorted(of_set.iterdir()):
            (folder / entry.name).symlink_to(os.path.relpath(entry, place))
        folders.add(folder)
    (partial / "pool").symlink_to("../../pool")
    settle_folders(folders)
    partial.rename(final)
    settle_folders({final.parent})
