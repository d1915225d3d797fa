"""Check what is served and what is kept, byte for byte; and repair what another copy still has.

Each index that a served Release promises must be there, by its path and by its hash; each pool file that the indexes name, too;
each object must still have its name. What rotted comes back from a mirror, another store, or a copy.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.fetching import fetch_object
from distwright.archive.indexes import pool_of
from distwright.archive.poolindex import PoolFile
from distwright.archive.shelf import Mirrors, recorded_pool
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tag_trees import parse_tag
from distwright.archive.tree import parse_root
from distwright.archive.trees import BY_HASH, SNAPSHOTS, ServedTree
from distwright.errors import BadInput, DistwrightError, Lost, NotFound
from distwright.jobs.step import Context
from distwright.model.digests import Sha256, sha256_of
from distwright.model.records import Publication
from distwright.store.archives import list_publications, list_snapshots
from distwright.store.holds import all_holds
from distwright.store.locks import locked
from distwright.store.objects import ObjectStore
from distwright.store.signed import list_tags

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it must be. digest: the object that it is about. path: where it shows, "" for the object itself."""

    what: str
    digest: Sha256
    path: str = ""


def check_objects(context: Context) -> Iterator[Damage]:
    """Read every object; give those that rotted, and those that somebody holds and that are lost."""
    digests = sorted(context.objects.digests())
    for number, digest in enumerate(digests, start=1):
        context.progress("read objects", number, len(digests), "objects")
        context.check_cancelled()
        if not context.objects.is_intact(digest):
            yield Damage("its bytes have changed", digest)
    with context.database.read() as tx:
        roots = [Sha256(hold.target) for hold in all_holds(tx) if hold.kind == "object"]
    known = set(digests)
    for digest in sorted(set(roots) - known):
        yield Damage("it is held and lost", digest)


def check_archive(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that is served of an archive of ours, as a client would."""
    tree = ServedTree(context.paths.public / archive)
    with context.database.read() as tx:
        live = list_publications(tx, archive=archive, state="live")
    seen: set[str] = set()
    for row in live:
        yield from _check_publication(tree, row, context.objects)
        for file in pool_of(parse_root(context.objects.read(row.revision)), context.objects.read):
            if file.path not in seen:
                seen.add(file.path)
                yield from _check_file(tree.root / file.path, file.sha256, context.objects)
    yield from check_tags(context, archive)


def check_tags(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that is served of the tagged snapshots of an archive, ours or a recorded one."""
    root = context.paths.public / archive
    with context.database.read() as tx:
        rows = list_tags(tx, archive)
    for row in rows:
        document = parse_tag(context.objects.read(row.digest))
        for path, digest in document.pool.items():
            yield from _check_file(root / path, digest, context.objects)
        for name, suite in document.suites.items():
            files = {**suite.signed, **{path: entry.sha256 for path, entry in suite.files.items()}}
            for path, digest in files.items():
                yield from _check_file(root / SNAPSHOTS / row.tag / "dists" / name / path, digest, context.objects)


def repair(context: Context, damages: Sequence[Damage], mirrors: Mirrors, copies: Sequence[Path]) -> list[Damage]:
    """Mend what can be mended; give what is left. copies: object stores, or trees with pools, on this machine."""
    places = _places(context)
    left = []
    for damage in damages:
        try:
            if not context.objects.has(damage.digest) or not context.objects.is_intact(damage.digest):
                _restore(context, damage.digest, places.get(damage.digest, []), mirrors, copies)
            if damage.path:
                _lay_again(Path(damage.path), damage.digest, context)
        except DistwrightError as error:
            left.append(Damage(f"{damage.what}; {error.message}", damage.digest, damage.path))
    return left


def _check_publication(tree: ServedTree, row: Publication, objects: ObjectStore) -> Iterator[Damage]:
    files = json.loads(objects.read(row.tree))["files"]
    served = tree.link(row.suite, row.serial)
    for path, name in files.items():
        digest = Sha256(name)
        yield from _check_file(served / path, digest, objects)
        folder = path.rpartition("/")[0]
        if folder:
            yield from _check_file(tree.root / BY_HASH / folder / "SHA256" / digest, digest, objects)


def _check_file(file: Path, digest: Sha256, objects: ObjectStore) -> Iterator[Damage]:
    """A served file that is its object's own file is as good as that: `check_objects` reads it."""
    if not file.is_file():
        yield Damage("it is not served", digest, str(file))
    elif not objects.is_placed(digest, file) and sha256_of(file.read_bytes()) != digest:
        yield Damage("it is served with other bytes", digest, str(file))


def _places(context: Context) -> dict[Sha256, list[tuple[str, PoolFile]]]:
    """Say where recorded archives have files: digest -> archive and pool file. Read only when something is to be repaired."""
    found: dict[Sha256, list[tuple[str, PoolFile]]] = {}
    with context.database.read() as tx:
        rows = list_snapshots(tx)
    for row in rows:
        try:
            suites = parse_snapshot(context.objects.read(row.digest)).suites.values()
        except (BadInput, KeyError, Lost):
            continue
        for index in (index for suite in suites for index in suite.indexes if index.names_pool_files):
            try:
                pool = recorded_pool(context.objects, index, context.paths.cache / "pool")
            except DistwrightError:
                continue
            for line in pool.read_text(encoding="utf-8").splitlines():
                path, digest, size = line.split("\t")
                found.setdefault(Sha256(digest), []).append((row.archive, PoolFile(path, Sha256(digest), int(size))))
    return found


def _restore(
    context: Context,
    digest: Sha256,
    places: Sequence[tuple[str, PoolFile]],
    mirrors: Mirrors,
    copies: Sequence[Path],
) -> None:
    """Put a good copy in the place of an object; raise NotFound if there is none."""
    for file in _candidates(digest, places, copies):
        if file.is_file() and _hash(file) == digest:
            with context.objects.writing(expect=digest) as writer, file.open("rb") as source:
                while piece := source.read(_CHUNK):
                    writer.write(piece)
            return
    for archive, pool_file in places:
        for base in mirrors(archive):
            try:
                fetch_object(context, f"{base}/{pool_file.path}", digest, pool_file.size_bytes)
            except DistwrightError as error:
                context.log(f"{base}: {error.message}")
            else:
                return
    raise NotFound(f"no copy of {digest.short} was found", hint="name a backup or a mirror's tree with --from DIR")


def _candidates(digest: Sha256, places: Sequence[tuple[str, PoolFile]], copies: Sequence[Path]) -> Iterator[Path]:
    for copy in copies:
        yield copy / "sha256" / digest[:2] / digest[2:]
        yield copy / "objects" / "sha256" / digest[:2] / digest[2:]
        for _, pool_file in places:
            yield copy / pool_file.path


def _hash(file: Path) -> str:

    state = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_CHUNK):
            state.update(piece)
    return state.hexdigest()


def _lay_again(target: Path, digest: Sha256, context: Context) -> None:
    with locked(context.paths.lock("repair")):
        partial = target.with_name(f".{target.name}.new")
        partial.unlink(missing_ok=True)
        context.objects.place(digest, partial)
        partial.rename(target)
        partial.unlink(missing_ok=True)  # rename(2) leaves both names if they are links to one object
