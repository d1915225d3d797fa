"""The snapshot document: which files a recorded archive consisted of. Its digest is the snapshot's identity everywhere."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from distwright.errors import BadInput
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json, sha256_of

SNAPSHOT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RecordedIndex:
    """An index file as upstream served it. path: below `dists/<suite>/`, with its compression. plain: digest of its content."""

    path: str
    sha256: Sha256
    size_bytes: int
    plain: Sha256

    @property
    def names_pool_files(self) -> bool:
        """Say whether it is a Packages or Sources."""
        return self.path.rpartition("/")[2].startswith(("Packages", "Sources"))

    @property
    def is_translation(self) -> bool:
        """Say whether it has the descriptions of a component in one language."""
        return "/i18n/Translation-" in self.path


@dataclass(frozen=True, slots=True)
class RecordedSuite:
    """inrelease: upstream's signed bytes. release: the bytes that the signature covers. date: what Release says.

    copies: the indexes in other compressions, and what else stands beside them, for clients that ask for all that Release names.
    """

    name: str
    inrelease: Sha256
    release: Sha256
    date: datetime
    components: tuple[str, ...]
    indexes: tuple[RecordedIndex, ...]
    copies: tuple[RecordedIndex, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolChoice:
    """Which pool files come with a record. packages: with all that they need; none: everything that the indexes name.

    has_recommends: what they recommend too. has_sources: the sources of all these. is_filtered: clients see these packages only.
    """

    packages: tuple[str, ...] = ()
    has_recommends: bool = False
    has_sources: bool = False
    is_filtered: bool = False

    @property
    def is_full(self) -> bool:
        """Say whether everything is meant."""
        return not self.packages

    def to_json(self) -> dict[str, Json]:
        """Give the part of the document: everything that decides which files were chosen."""
        return {
            "packages": sorted(self.packages),
            "recommends": self.has_recommends,
            "sources": self.has_sources,
            "filtered": self.is_filtered,
        }


@dataclass(frozen=True, slots=True)
class RecordedPool:
    """What came with a record. files: the list of the chosen files (an object, chosen.py); None if it is everything."""

    choice: PoolChoice
    files: Sha256 | None = None


@dataclass(frozen=True, slots=True)
class SnapshotDocument:
    """One moment of an upstream archive; pool files are those that its Packages and Sources name.

    pool: what was fetched at once and belongs to the record; None if files come when they are asked for.

    Nothing of this machine is in it: not what the archive is called here, not the order of lists in a configuration. So two
    machines that record the same upstream have the same digest.
    """

    suites: Mapping[str, RecordedSuite]
    pool: RecordedPool | None = None

    def to_bytes(self) -> bytes:
        """Give the canonical form."""
        suites: dict[str, Json] = {
            suite.name: {
                "inrelease": suite.inrelease,
                "release": suite.release,
                "date": int(suite.date.timestamp()),
                "components": sorted(suite.components),
                "indexes": _rows(suite.indexes),
                **({"copies": _rows(suite.copies)} if suite.copies else {}),
            }
            for suite in self.suites.values()
        }
        pool: dict[str, Json] = {}
        if self.pool is not None:
            pool["pool"] = {"choice": self.pool.choice.to_json(), "files": self.pool.files}
        return canonical_json({"format": SNAPSHOT_FORMAT, "suites": suites, **pool})

    @property
    def digest(self) -> Sha256:
        """The identity."""
        return sha256_of(self.to_bytes())


def parse_snapshot(content: bytes) -> SnapshotDocument:
    """Read what `to_bytes` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != SNAPSHOT_FORMAT:
        raise BadInput(f"snapshot has format {document.get('format')!r}", hint="install the distwright that wrote it")
    suites = {
        name: RecordedSuite(
            name=name,
            inrelease=Sha256(suite["inrelease"]),
            release=Sha256(suite["release"]),
            date=datetime.fromtimestamp(suite["date"], UTC),
            components=tuple(suite["components"]),
            indexes=_indexes(suite["indexes"]),
            copies=_indexes(suite.get("copies", [])),
        )
        for name, suite in document["suites"].items()
    }
    return SnapshotDocument(suites, _pool(document["pool"]) if "pool" in document else None)


def _rows(indexes: Sequence[RecordedIndex]) -> list[Json]:
    return [list(row) for row in sorted((index.path, index.sha256, index.size_bytes, index.plain) for index in indexes)]


def _indexes(rows: Iterable[tuple[str, str, int, str]]) -> tuple[RecordedIndex, ...]:
    return tuple(RecordedIndex(path, Sha256(sha256), size, Sha256(plain)) for path, sha256, size, plain in rows)


def _pool(value: plain.Plain) -> RecordedPool:
    choice = plain.mapping(value, "choice")
    return RecordedPool(
        PoolChoice(
            plain.texts(choice, "packages"),
            has_recommends=plain.flag(choice, "recommends"),
            has_sources=plain.flag(choice, "sources"),
            is_filtered=plain.flag(choice, "filtered"),
        ),
        None if value["files"] is None else plain.digest(value, "files"),
    )
