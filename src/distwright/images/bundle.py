"""The bundle of an image: one tar with all that somebody elsewhere needs to build it again, but for what archives serve.

`bundle.json`: the order, the addresses of what it was made from, the tables of recorded archives. `SHA256SUMS` with its signature:
what must come out. `objects/SHA256`: the recipe's files, and lists of suites of ours, which move on. `keyrings/ARCHIVE`: whose
signatures count for a recorded archive, for machines that do not have the file. The same image, the same bundle, to the signature.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from distwright.archive.indexes import pool_of
from distwright.archive.poolindex import PoolFile
from distwright.archive.tree import parse_root
from distwright.builds.environment import EnvironmentRecipe
from distwright.errors import BadInput, NotFound, Refused, disk_error, quoted
from distwright.formats.streaming import PIECE_BYTES
from distwright.formats.tar import TarKind
from distwright.formats.tarheaders import TarHeader, iter_entries
from distwright.images.bundle_order import check_order, check_shelf, check_tables, no_bundle
from distwright.images.forms import BUILD_KIND
from distwright.images.made_by import KEY as MADE_BY
from distwright.images.made_by import parse_programs
from distwright.images.recorded import recorded_archives, recorded_in
from distwright.jobs.step import Context, Earlier, Fetched, Inputs, ShelfEntry
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json, digest_of, digests_in
from distwright.model.names import our_name
from distwright.model.serials import Serial
from distwright.store.archives import list_snapshots
from distwright.store.objects import ObjectStore

FORMAT = 1
_VALUES_LIMIT = 1 << 20
DOCUMENT, SUMS_FILE, SIGNATURE = "bundle.json", "SHA256SUMS", "SHA256SUMS.asc"
_POOL_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_:%/-]{0,500}")
_OBJECT = re.compile(r"objects/([0-9a-f]{64})")
_KEYRING = re.compile(r"keyrings/([a-z0-9][a-z0-9._+-]{0,63})")
_SUM = re.compile(r"([0-9a-f]{64})  ([^/\0]{1,400})")
_SMALL_BYTES, _DOCUMENT_BYTES = 64 << 20, 16 << 20  # of what is read whole
MEMBERS_LIMIT, OBJECTS_LIMIT_BYTES = (
    100_000,
    16 << 30,
)  # of objects: files of the recipe, and packages that it brings along


@dataclass(frozen=True, slots=True)
class NeededSnapshot:
    """A recorded state that an image was made from, and the digest of its document."""

    archive: str
    serial: Serial
    document: Sha256


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says. order: the inputs of the build, digest: the identity of that order. sums: what must come out.

    url: where its archives are served, "" if it does not say. tables: settings of recorded archives, by name. keyrings: by archive.
    pool: archive of ours -> the files of it that were used. made_by: Debian package -> version of the programs that made the root.
    """

    order: Inputs
    digest: Sha256
    url: str
    sums: Mapping[str, Sha256]
    snapshots: tuple[NeededSnapshot, ...]
    pool: Mapping[str, tuple[PoolFile, ...]]
    tables: Mapping[str, plain.Plain]
    keyrings: Mapping[str, bytes]
    signed: bytes
    signature: bytes
    made_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The full name of the image."""
        return plain.text(self.order, "name")

    @property
    def shelf(self) -> tuple[ShelfEntry, ...]:
        """The suites that its roots are made of."""
        return _shelf(self.order)

    @classmethod
    def from_parts(cls, small: Mapping[str, bytes]) -> Self:
        """Read the members that are no objects; raise BadInput, or Refused for an order of another version."""
        missing = {DOCUMENT, SUMS_FILE, SIGNATURE} - small.keys()
        if missing:
            raise no_bundle(f"the bundle has no {', '.join(sorted(missing))}")
        try:
            return cls._read(small, _document(small[DOCUMENT]))
        except RecursionError as error:
            raise no_bundle(f"{DOCUMENT} is nested too deep") from error

    @classmethod
    def _read(cls, small: Mapping[str, bytes], document: plain.Plain) -> Self:
        if plain.number(document, "format") != FORMAT or plain.number(document, "version") != BUILD_KIND.version:
            raise Refused("another version of distwright has made the bundle", hint="use the version that made it")
        order = plain.mapping(document, "order")
        check_order(order)
        archives = plain.mapping(document, "archives")
        tables = {name: plain.mapping(archives, name) for name in archives}
        check_tables(tables)
        pool = plain.mapping(document, "pool")
        snapshots = tuple(_needed_snapshot(row) for row in _rows(document, "snapshots"))
        check_shelf(_shelf(order), {(one.archive, one.document) for one in snapshots}, tables, pool)
        return cls(
            order=order,
            digest=digest_of({"kind": BUILD_KIND.name, "version": BUILD_KIND.version, "inputs": order}),
            url=plain.text(document, "url"),
            sums=parse_sums(small[SUMS_FILE]),
            snapshots=snapshots,
            pool={our_name(name, "archive"): tuple(_pool_file(row) for row in _rows(pool, name)) for name in pool},
            tables=tables,
            keyrings={found[1]: text for name, text in small.items() if (found := _KEYRING.fullmatch(name))},
            signed=small[SUMS_FILE],
            signature=small[SIGNATURE],
            made_by=parse_programs(document),
        )


def write_bundle(context: Context, inputs: Inputs, earlier: Earlier, sums: bytes, signature: bytes) -> Sha256:
    """Make the bundle of an image that was just built; give its object. inputs: of the order, with what made the root.

    Memory: one piece of a file. Raises NotFound if a state that was used is recorded no more.
    """
    shelf = _shelf(inputs)
    upstream = sorted({entry.archive for entry in shelf if not entry.is_own})
    recorded = _recorded(context, inputs, upstream)
    fetched = [*earlier["root"].fetched, *earlier["tools"].fetched]
    document: dict[str, Json] = {
        "format": FORMAT,
        "version": BUILD_KIND.version,
        "order": {key: value for key, value in inputs.items() if key != MADE_BY},
        **({MADE_BY: inputs[MADE_BY]} if MADE_BY in inputs else {}),
        "url": plain.text(inputs, "url") if "url" in inputs else "",
        "snapshots": _snapshots(context, shelf),
        "pool": _used_of_ours(shelf, fetched),
        "archives": {name: dict(plain.mapping(recorded[name], "settings")) for name in upstream},
    }
    keyrings = {f"keyrings/{name}": context.objects.read(plain.digest(recorded[name], "keyring")) for name in upstream}
    small = {DOCUMENT: canonical_json(document), SUMS_FILE: sums, SIGNATURE: signature, **keyrings}
    objects = {f"objects/{digest}": digest for digest in _needed_objects(inputs, shelf, context.objects)}
    with context.objects.writing() as writer, tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]  # it only writes
        for name, content in sorted(small.items()):
            _add(tar, name, len(content), io.BytesIO(content))
        for name, digest in sorted(objects.items()):
            with context.objects.open(digest) as file:
                _add(tar, name, context.objects.size(digest), file)
    return writer.digest


def read_bundle(path: Path, objects: ObjectStore | None = None) -> Bundle:
    """Read a bundle that somebody gave us; keep its objects, if there is where to. Raises NotFound, BadInput, Refused.

    Memory: 64 MiB of its small members at the most, and what JSON of 16 MiB takes; all else goes by in pieces.

    objects: what was kept before a bundle is refused stays there, and nobody names it.
    """
    parts = _Parts(objects)
    try:
        if not path.is_file():
            path.stat()
            raise no_bundle("it is no file")
        with path.open("rb") as file:
            for entry in iter_entries(iter(lambda: file.read(PIECE_BYTES), b""), max_members=MEMBERS_LIMIT):
                parts.take(entry.header, entry.content)
        return Bundle.from_parts(parts.small)
    except BadInput as error:
        raise no_bundle(f"{path} is no bundle of an image: {error.message}") from error
    except OSError as error:
        if disk_error(error, str(path)) is not None:
            raise
        raise NotFound(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error


@dataclass(slots=True)
class _Parts:
    """The members of a bundle as they come. small: those that are no objects, by name."""

    objects: ObjectStore | None
    small: dict[str, bytes] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _small_left: int = _SMALL_BYTES
    _left: int = OBJECTS_LIMIT_BYTES

    def take(self, header: TarHeader, content: Iterator[bytes]) -> None:
        """Take a member; raise BadInput for one that has no place, and for too much of them."""
        name = header.name.decode("utf-8", "backslashreplace")
        found = _OBJECT.fullmatch(name)
        is_known = found or name in (DOCUMENT, SUMS_FILE, SIGNATURE) or _KEYRING.fullmatch(name)
        if not is_known or header.kind is not TarKind.FILE or name in self._seen:
            raise no_bundle(f"{quoted(name)} has no place in a bundle")
        self._seen.add(name)
        if found:
            self._left -= header.size
        else:
            self._small_left -= header.size
        if name == DOCUMENT and header.size > _DOCUMENT_BYTES:
            raise no_bundle(f"{DOCUMENT} has {header.size} bytes, {_DOCUMENT_BYTES} are the most")
        if min(self._left, self._small_left) < 0:
            raise no_bundle(f"{quoted(name)} has {header.size} bytes: the bundle has too much")
        if not found:
            self.small[name] = b"".join(content)
        elif self.objects is not None:
            _keep(Sha256(found[1]), content, self.objects)


def parse_sums(text: bytes) -> dict[str, Sha256]:
    """Read SHA256SUMS; raise BadInput."""
    sums = {}
    for line in text.decode(errors="replace").splitlines():
        found = _SUM.fullmatch(line)
        if found is None:
            raise no_bundle(f"{quoted(line)} is no line of SHA256SUMS")
        sums[found[2]] = Sha256(found[1])
    return sums


def _add(tar: tarfile.TarFile, name: str, size: int, content: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    tar.addfile(member, content)


def _keep(digest: Sha256, content: Iterable[bytes], objects: ObjectStore) -> None:
    with objects.writing(expect=digest) as writer:
        for piece in content:
            writer.write(piece)


def _document(content: bytes) -> plain.Plain:
    if sum(map(content.count, (b",", b"[", b"{"))) > _VALUES_LIMIT:  # 64 bytes and more for each in memory
        raise no_bundle(f"{DOCUMENT} has more than {_VALUES_LIMIT} values")
    try:
        return plain.mapping({DOCUMENT: json.loads(content)}, DOCUMENT)
    except (ValueError, RecursionError) as error:
        raise no_bundle(f"{DOCUMENT} cannot be read: {quoted(str(error))}") from error


def _rows(values: plain.Plain, key: str) -> list[plain.Plain]:
    return [plain.mapping({key: row}, key) for row in plain.members(values, key)]


def _needed_snapshot(row: plain.Plain) -> NeededSnapshot:
    return NeededSnapshot(
        our_name(plain.text(row, "archive"), "archive"),
        Serial(plain.text(row, "serial")),
        plain.digest(row, "document"),
    )


def _pool_file(row: plain.Plain) -> PoolFile:
    path, size = plain.text(row, "path"), plain.number(row, "size_bytes")
    if not _POOL_PATH.fullmatch(path) or ".." in path.split("/") or size not in range(OBJECTS_LIMIT_BYTES):
        raise no_bundle(f"{quoted(path)} of {size} bytes is no file of a pool")
    return PoolFile(path, plain.digest(row, "sha256"), size)


def _shelf(inputs: Inputs) -> tuple[ShelfEntry, ...]:
    recipes = [EnvironmentRecipe.from_json(plain.mapping(inputs, key)) for key in ("root", "tools")]
    return tuple({digest_of(entry.to_json()): entry for recipe in recipes for entry in recipe.shelf}.values())


def _is_made(entry: ShelfEntry) -> bool:
    """Say whether a suite was made for this image alone (archive/made_suite.py), and is in no archive."""
    return entry.archive.startswith("_")


def _snapshots(context: Context, shelf: Iterable[ShelfEntry]) -> list[Json]:
    """Name each recorded state by its first serial, which stays the first."""
    found: dict[tuple[str, Sha256], Json] = {}
    for entry in shelf:
        if entry.is_own:
            continue
        with context.database.read() as tx:
            serials = [row.serial for row in list_snapshots(tx, entry.archive) if row.digest == entry.document]
        if not serials:
            raise NotFound(
                f"the state of {entry.name} is recorded no more", hint=f"distwright snapshot list {entry.archive}"
            )
        row: Json = {"archive": entry.archive, "serial": str(min(serials)), "document": str(entry.document)}
        found[entry.archive, entry.document] = row
    return [found[key] for key in sorted(found)]


def _used_of_ours(shelf: Iterable[ShelfEntry], fetched: Iterable[Fetched]) -> dict[str, Json]:
    ours = {entry.archive for entry in shelf if entry.is_own and not _is_made(entry)}
    used = {(file.archive, file.path, file.sha256, file.size_bytes) for file in fetched if file.archive in ours}
    rows: dict[str, list[Json]] = {name: [] for name in sorted(ours)}
    for archive, path, sha256, size in sorted(used):
        rows[archive].append({"path": path, "sha256": str(sha256), "size_bytes": size})
    return {name: list(found) for name, found in rows.items()}


def _recorded(context: Context, inputs: Inputs, archives: Iterable[str]) -> Mapping[str, plain.Plain]:
    """Give how each recorded archive is recorded, as the order says it; an order that does not, as it is configured now."""
    said = recorded_in(inputs)
    if said is None:
        now = recorded_archives(context.database, context.config, context.objects, archives)
        said = {name: plain.mapping(now, name) for name in now}
    return said


def _needed_objects(inputs: Inputs, shelf: Iterable[ShelfEntry], objects: ObjectStore) -> Iterator[Sha256]:
    """Give what the order names but recorded states, and the lists of suites of ours; files only of suites made for the image."""
    recorded = {entry.document for entry in shelf if not entry.is_own}
    yield from {digest for _, digest in digests_in(inputs)} - recorded
    for entry in shelf:
        if not entry.is_own:
            continue
        root = parse_root(objects.read(entry.document))
        yield from (leaf.digest for leaves in root.lists.values() for leaf in leaves)
        if _is_made(entry):
            yield from (file.sha256 for file in pool_of(root, objects.read))
