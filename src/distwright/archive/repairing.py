"""Mend what `fsck` found, from mirrors and other copies, and say what is left."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.fetching import fetch_object
from distwright.archive.fsck import HELD_AND_LOST, Damage
from distwright.archive.places import Place, leaves_of, places_of
from distwright.archive.publish import rendered
from distwright.archive.rendering import parse_index_set
from distwright.archive.served_root import tree_root
from distwright.archive.shelf import Mirrors
from distwright.archive.tag_trees import parse_tag, serve_tag
from distwright.archive.tree import parse_root
from distwright.archive.trees import lay_again
from distwright.errors import DistwrightError, Lost, NotFound
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.records import Publication
from distwright.store.archives import list_publications
from distwright.store.holds import all_holds
from distwright.store.locks import locked
from distwright.store.objects import sha256_of_file

_OVER = "distwright archive collect --apply: it goes a week after it was served last"
_NOBODY, _SOMEBODY = "nobody holds it", "held through what names it"


@dataclass(frozen=True, slots=True)
class Told:
    """A damage in words. thing: what it is about, as people know it. hint: what to type next."""

    damage: Damage
    thing: str
    hint: str


def repair(context: Context, damages: Sequence[Damage], mirrors: Mirrors, copies: Sequence[Path | str]) -> list[Damage]:
    """Mend what can be mended; give what is left.

    Indexes of what is served need no copy: they are rendered anew. copies: object stores or trees with pools on this machine, and
    base URLs of such trees. A file counts only if it has the digest.
    """
    left = _mend(context, damages, mirrors, copies)
    while left and len(left) < len(damages):  # a list that came back may say what else there is
        damages = [damage for damage, _ in left]
        left = _mend(context, damages, mirrors, copies)
    return [Damage(f"{damage.what}; {why}", damage.digest, damage.path) for damage, why in left]


def _mend(
    context: Context, damages: Sequence[Damage], mirrors: Mirrors, copies: Sequence[Path | str]
) -> list[tuple[Damage, str]]:
    places = places_of(context, {damage.digest for damage in damages})
    left = []
    remake = _remaker(context)
    for damage in damages:
        try:
            if not _is_well(damage.digest, context) and not remake(damage.digest):
                _restore(context, damage.digest, places.get(damage.digest, []), mirrors, copies)
            if damage.path:
                _lay_again(Path(damage.path), damage.digest, context)
        except DistwrightError as error:
            left.append((damage, error.message))
    return left


def tell(context: Context, damages: Sequence[Damage], *, was_mended: bool) -> list[Told]:
    """Put damages into words. was_mended: whether these are what `repair` left."""
    digests = {damage.digest for damage in damages}
    places, leaves = places_of(context, digests), leaves_of(context, digests)
    held: dict[str, str] = {}
    again = _made_again(context) if damages else {}
    if damages:
        with context.database.read() as tx:
            held = {hold.target: f"{hold.reason} of {hold.holder}" for hold in all_holds(tx) if hold.kind == "object"}
    told = []
    for damage in damages:
        shown = places.get(damage.digest, [])
        kept = leaves.get(damage.digest) or held.get(damage.digest) or _unknown(damage)
        thing = damage.path or (shown[-1].name if shown else f"object {damage.digest} ({kept})")
        is_held = kept != _NOBODY or bool(shown)
        told.append(Told(damage, thing, _hint(again.get(damage.digest), was_mended=was_mended, is_held=is_held)))
    return told


def _unknown(damage: Damage) -> str:
    return _SOMEBODY if damage.what == HELD_AND_LOST else _NOBODY


def _made_again(context: Context) -> dict[Sha256, str]:
    """Say what helps where nobody has a copy: what a publish makes anew, and what only slow clients may still want."""
    found: dict[Sha256, str] = {}
    with context.database.read() as tx:
        rows = [*list_publications(tx, state="retired"), *list_publications(tx, state="live")]
    for row in rows:
        hint = _publish_again(row) if row.state == "live" else _OVER
        found[row.tree] = hint
        with suppress(Lost):
            document = json.loads(context.objects.read(row.tree))
            names = (*document["files"].values(), document.get("indexes"))
            found |= {Sha256(name): hint for name in names if name}
    return found


def _publish_again(row: Publication) -> str:
    if row.serial:
        again = f"distwright snapshot publish {row.archive} {row.serial} --again"
    else:
        again = f"distwright suite publish {row.archive}/{row.suite} --again"
    return f"{again}, or: distwright archive fsck --repair --from DIR|URL"


def _hint(made_again: str | None, *, was_mended: bool, is_held: bool) -> str:
    if not was_mended:
        return "distwright archive fsck --repair"
    if made_again is not None:
        return made_again
    if not is_held:
        return "distwright archive collect --apply: it goes, for nobody needs it"
    return (
        "distwright archive fsck --repair --from DIR|URL: a backup of objects/, or a tree or mirror that has the file"
    )


def _restore(
    context: Context, digest: Sha256, places: Sequence[Place], mirrors: Mirrors, copies: Sequence[Path | str]
) -> None:
    """Put a good copy in the place of an object; raise NotFound if there is none."""
    folders = [copy for copy in copies if isinstance(copy, Path)]
    for file in _candidates(digest, places, [*folders, context.paths.public, context.paths.private]):
        if file.is_file() and sha256_of_file(file) == digest:
            with context.objects.writing(expect=digest) as writer, file.open("rb") as source:
                shutil.copyfileobj(source, writer)
            return
    for url, size in _addresses(places, mirrors, [copy for copy in copies if isinstance(copy, str)]):
        try:
            fetch_object(context, url, digest, size)
        except DistwrightError as error:
            context.log(f"{url}: {error.message}")
        else:
            return
    raise NotFound(f"no copy of {digest.short} was found", hint="name a backup or a mirror's tree with --from DIR|URL")


def _candidates(digest: Sha256, places: Sequence[Place], folders: Sequence[Path]) -> Iterator[Path]:
    """Say where a copy may lie: an object store, an installation, the tree of an archive, a folder of such trees."""
    for folder in folders:
        yield folder / "sha256" / digest[:2] / digest[2:]
        yield folder / "objects" / "sha256" / digest[:2] / digest[2:]
        for place in places:
            yield folder / place.path
            yield folder / place.archive / place.path
            yield folder / "public" / place.archive / place.path


def _addresses(places: Sequence[Place], mirrors: Mirrors, bases: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    for place in places:
        for base in mirrors(place.archive):
            yield f"{base}/{place.path}", place.size_bytes
    for base in bases:
        for place in places:
            yield f"{base}/{place.path}", place.size_bytes
            yield f"{base}/{place.archive}/{place.path}", place.size_bytes


def _lay_again(target: Path, digest: Sha256, context: Context) -> None:
    """Put an object where clients look for it; the folder of a tagged snapshot is laid out anew from its document."""
    archive = target.parent.parent.name
    root = tree_root(context.config, context.paths, archive)
    if target.parent == root / "snapshots":
        with locked(context.paths.lock(f"archive-{archive}")):
            if target.exists():
                target.rename(target.with_name(f".gone-{target.name}"))
            serve_tag(root, target.name, parse_tag(context.objects.read(digest)), context.objects)
        return
    with locked(context.paths.lock("repair")):
        lay_again(target, digest, context.objects)


def _remaker(context: Context) -> Callable[[Sha256], bool]:
    """Give what renders the indexes of served states anew, each state once, when one of them is asked for; says if that helped."""
    with context.database.read() as tx:
        live = list_publications(tx, state="live")
    done: set[tuple[Sha256, Sha256]] = set()

    def remake(digest: Sha256) -> bool:
        for row in live:
            with suppress(Lost):
                document = json.loads(context.objects.read(row.tree))
                made = (*document["files"].values(), document["indexes"])
                if (row.revision, row.tree) not in done and str(digest) in made:
                    done.add((row.revision, row.tree))
                    _render_again(row, Sha256(document["indexes"]), context)
            if _is_well(digest, context):
                return True
        return False

    return remake


def _render_again(row: Publication, indexes: Sha256, context: Context) -> None:
    known = parse_index_set(context.objects.read(indexes))
    root = parse_root(context.objects.read(row.revision))
    rendered(root, known.lists, context, has_contents=known.has_contents)


def _is_well(digest: Sha256, context: Context) -> bool:
    return context.objects.has(digest) and context.objects.is_intact(digest)
