"""What of a recorded snapshot carries our signature: a Valid-Until that moved, or indexes of chosen packages only.

Everything else is served as upstream signed it; its own InRelease stays beside ours as `InRelease.upstream`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from distwright.archive.pieces import Pieces
from distwright.archive.publish import PRESET
from distwright.archive.rendering import IndexSet, render
from distwright.archive.tree import TreeEntry, build_tree
from distwright.errors import BadInput
from distwright.formats.dates import release_date
from distwright.formats.release import Release, write_release
from distwright.jobs.step import Context
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.signing.signer import Signer
from distwright.store.objects import ObjectStore

RESIGNED_FORMAT = 1
UPSTREAM_INRELEASE = "InRelease.upstream"
_GONE = re.compile(rb"^(?:Valid-Until|Signed-By):[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE | re.IGNORECASE)
_DATE = re.compile(rb"^Date:[^\n]*\n", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ResignedSuite:
    """files: path below `dists/SUITE/` -> object, the Release files among them. is_whole: nothing else is served of the suite.

    since: the end of what upstream signed, until which that is served; None: never, for its clients must not see it.
    """

    files: Mapping[str, Sha256]
    is_whole: bool
    since: datetime | None = None

    def is_served(self, now: datetime) -> bool:
        """Say whether clients get it, and not what upstream signed."""
        return self.since is None or now > self.since


@dataclass(frozen=True, slots=True)
class ResignedDocument:
    """The suites of one snapshot that are served with our signature."""

    suites: Mapping[str, ResignedSuite]

    def to_bytes(self) -> bytes:
        """Give the canonical form."""
        suites: dict[str, Json] = {
            name: {
                "files": dict(suite.files),
                "whole": suite.is_whole,
                "since": None if suite.since is None else int(suite.since.timestamp()),
            }
            for name, suite in self.suites.items()
        }
        return canonical_json({"format": RESIGNED_FORMAT, "suites": suites})


def parse_resigned(content: bytes) -> ResignedDocument:
    """Read what `to_bytes` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != RESIGNED_FORMAT:
        raise BadInput(f"snapshot has format {document.get('format')!r}", hint="install the distwright that wrote it")
    return ResignedDocument(
        {
            name: ResignedSuite(
                plain.digest_map(suite, "files"),
                plain.flag(suite, "whole"),
                None if suite["since"] is None else datetime.fromtimestamp(plain.number(suite, "since"), UTC),
            )
            for name, suite in document["suites"].items()
        }
    )


def with_valid_until(release: bytes, until: datetime) -> bytes:
    """Change nothing of a Release but Valid-Until, and Signed-By, which would name a key that is not ours."""
    line = f"Valid-Until: {release_date(until)}\n".encode()
    return _DATE.sub(lambda date: date[0] + line, _GONE.sub(b"", release), count=1)


def release_files(release: bytes, upstream: Sha256, signer: Signer, objects: ObjectStore) -> dict[str, Sha256]:
    """Sign a Release; give its three files and upstream's InRelease, by name."""
    return {
        "InRelease": objects.put(signer.sign_clear(release)),
        "Release": objects.put(release),
        "Release.gpg": objects.put(signer.sign_detached(release)),
        UPSTREAM_INRELEASE: upstream,
    }


def render_entries(entries: Sequence[TreeEntry], lists: Sequence[str], context: Context) -> IndexSet:
    """Make the indexes of chosen packages. lists: those that must exist even if nothing of them was chosen."""
    root = build_tree(entries, context.objects.put)
    return render(root, lists, Pieces(context.paths.cache / "pieces", preset=PRESET), context.objects)


def partial_release(upstream: Release, indexes: IndexSet, reason: tuple[str, str]) -> bytes:
    """Write the Release of a part of a suite: upstream's own words, our indexes. reason: a field that says what it is a part of."""
    places = [path.split("/") for path in indexes.plain]
    architectures = {place[-2].removeprefix("binary-") for place in places if place[-2].startswith("binary-")}
    return write_release(
        replace(
            upstream,
            indexes=indexes.entries,
            architectures=tuple(sorted(architectures)),
            components=tuple(sorted({"/".join(place[:-2]) for place in places})),
            acquire_by_hash=True,
            no_support_for_architecture_all=None,
            changelogs=None,
            snapshots=None,
            signed_by=(),
            extra=(reason,),
        )
    )
