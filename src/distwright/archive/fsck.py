"""Check what is served and what is kept, byte for byte; and repair what another copy still has.

Each index that a served Release promises must be there, by its path and by its hash; each pool file that the indexes name, too;
each object must still have its name. What rotted comes back from a mirror, another store, or a copy.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from distwright.archive.fetching import fetch_object
from distwright.archive.indexes import pool_of
from distwright.archive.poolindex import PoolFile
from distwright.archive.publish import rendered
from distwright.archive.rendering import parse_index_set
from distwright.archive.shelf import Mirrors, recorded_pool
from distwright.archive.snapshots import parse_snapshot
from distwright.archive.tag_trees import parse_tag
from distwright.archive.tree import parse_root
from distwright.archive.trees import BY_HASH, SNAPSHOTS, ServedTree, is_whole, lay_again
from distwright.errors import BadInput, DistwrightError, Lost, NotFound
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import Publication
from distwright.store.archives import list_publications, list_snapshots
from distwright.store.database import damages
from distwright.store.holds import all_holds
from distwright.store.locks import locked
from distwright.store.objects import ObjectStore
from distwright.store.signed import list_tags

_CHUNK = 1 << 20
COLLECT = "distwright archive collect --apply lets it go a week after it was served last"
RESTORE = "distwright archive fsck --repair --from BACKUP"


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it must be. digest: the object that it is about, "" for the database. path: where it shows, "" for
    the object itself. hint: what to type."""

    what: str
    digest: Sha256 | Literal[""]
    path: str = ""
    hint: str = field(default=RESTORE, compare=False)


def check_objects(context: Context) -> Iterator[Damage]:
    """Read the database and every object; give those that rotted, and those that somebody holds and that are lost."""
    for text in damages(context.database, thoroughly=True):
        yield Damage(f"the database says: {text}", "", hint="restore db.sqlite from a backup")
    made_again = _made_again(context)
    digests = sorted(context.objects.digests())
    for number, digest in enumerate(digests, start=1):
        context.progress("read objects", number, len(digests), "objects")
        context.check_cancelled()
        if not context.objects.is_intact(digest):
            yield Damage("its bytes have changed", digest, hint=made_again.get(digest, RESTORE))
    with context.database.read() as tx:
        roots = [Sha256(hold.target) for hold in all_holds(tx) if hold.kind == "object"]
    known = set(digests)
    for digest in sorted(set(roots) - known):
        yield Damage("it is held and lost", digest, hint=made_again.get(digest, RESTORE))


def check_archive(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that is served of an archive of ours, as a client would."""
    tree = ServedTree(context.paths.public / archive)
    with context.database.read() as tx:
        live = list_publications(tx, archive=archive, state="live")
    seen: set[str] = set()
    for row in live:
        try:
            yield from _check_publication(tree, row, context.objects)
            for file in pool_of(parse_root(context.objects.read(row.revision)), context.objects.read):
                if file.path not in seen:
                    seen.add(file.path)
                    yield from _check_file(tree.root / file.path, file.sha256, context.objects)
        except Lost as error:
            what = f"{row.suite} cannot be looked at as a whole: {error.message}"
            yield Damage(what, row.revision, hint=f"{error.hint}; or: {_publish_again(row)}")
    yield from check_tags(context, archive)


def _publish_again(row: Publication) -> str:
    if row.serial:
        return f"distwright snapshot publish {row.archive} {row.serial} --again"
    return f"distwright suite publish {row.archive}/{row.suite} --again"


def _made_again(context: Context) -> dict[Sha256, str]:
    """Say of what a publish makes anew, or nobody but slow clients needs any more, which command helps: documents, indexes and
    Release files of publications."""
    found: dict[Sha256, str] = {}
    with context.database.read() as tx:
        rows = [*list_publications(tx, state="retired"), *list_publications(tx, state="live")]
    for row in rows:
        hint = _publish_again(row) if row.state == "live" else COLLECT
        found[row.tree] = hint
        with suppress(Lost):
            document = json.loads(context.objects.read(row.tree))
            names = [*document["files"].values(), *([document["indexes"]] if document.get("indexes") else [])]
            found |= {Sha256(name): hint for name in names}
    return found


def check_tags(context: Context, archive: str) -> Iterator[Damage]:
    """Look at everything that is served of the tagged snapshots of an archive, ours or a recorded one."""
    root = context.paths.public / archive
    with context.database.read() as tx:
        rows = list_tags(tx, archive)
    for row in rows:
        try:
            document = parse_tag(context.objects.read(row.digest))
        except Lost as error:
            yield Damage(f"{row.tag} cannot be looked at: {error.message}", row.digest)
            continue
        for path, digest in document.pool.items():
            yield from _check_file(root / path, digest, context.objects)
        for name, suite in document.suites.items():
            files = {**suite.signed, **{path: entry.sha256 for path, entry in suite.files.items()}}
            for path, digest in files.items():
                yield from _check_file(root / SNAPSHOTS / row.tag / "dists" / name / path, digest, context.objects)


def repair(context: Context, damages: Sequence[Damage], mirrors: Mirrors, copies: Sequence[Path]) -> list[Damage]:
    """Mend what can be mended; give what is left. copies: object stores, or trees with pools, on this machine.

    Indexes of what is served need no copy: they are rendered anew.
    """
    places = _places(context)
    left = []
    remake = _remaker(context)
    for damage in damages:
        if not damage.digest:
            left.append(damage)
            continue
        try:
            if not _is_well(damage.digest, context.objects) and not remake(damage.digest):
                _restore(context, damage.digest, places.get(damage.digest, []), mirrors, copies)
            if damage.path:
                with locked(context.paths.lock("repair")):
                    lay_again(Path(damage.path), damage.digest, context.objects)
        except DistwrightError as error:
            left.append(Damage(f"{damage.what}; {error.message}", damage.digest, damage.path, damage.hint))
    return left


def _is_well(digest: Sha256, objects: ObjectStore) -> bool:
    return objects.has(digest) and objects.is_intact(digest)


def _remaker(context: Context) -> Callable[[Sha256], bool]:
    """Give what renders the indexes of served states anew, each state once, when one of them is asked for; says if that helped."""
    with context.database.read() as tx:
        live = list_publications(tx, state="live")
    done: set[tuple[Sha256, Sha256]] = set()

    def remake(digest: Sha256) -> bool:
        for row in live:
            with suppress(Lost):
                document = json.loads(context.objects.read(row.tree))
                if (row.revision, row.tree) not in done and str(digest) in (
                    *document["files"].values(),
                    document["indexes"],
                ):
                    done.add((row.revision, row.tree))
                    _render_again(row, Sha256(document["indexes"]), context)
            if _is_well(digest, context.objects):
                return True
        return False

    return remake


def _render_again(row: Publication, indexes: Sha256, context: Context) -> None:
    known = parse_index_set(context.objects.read(indexes))
    root = parse_root(context.objects.read(row.revision))
    rendered(root, known.lists, context, has_contents=known.has_contents)


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
    elif not is_whole(file, digest, objects):
        yield Damage("it is served with other bytes", digest, str(file))


def _places(context: Context) -> dict[Sha256, list[tuple[str, PoolFile]]]:
    """Say where recorded archives have files and indexes: digest -> archive and place. Only read when something is repaired."""
    found: dict[Sha256, list[tuple[str, PoolFile]]] = {}
    with context.database.read() as tx:
        rows = list_snapshots(tx)
    for row in rows:
        try:
            suites = parse_snapshot(context.objects.read(row.digest)).suites.values()
        except (BadInput, KeyError, Lost):
            continue
        for suite in suites:
            for index in suite.indexes:
                folder = f"dists/{suite.name}/{index.path.rpartition('/')[0]}/by-hash/SHA256"
                file = PoolFile(f"{folder}/{index.sha256}", index.sha256, index.size_bytes)
                found.setdefault(index.sha256, []).append((row.archive, file))
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
