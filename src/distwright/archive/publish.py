"""Publish a suite's revision: complete tree first, then one rename. Clients see the old state or the new one, nothing between.

Where things are, below `public/ARCHIVE/`: `pool/` and `dists/.by-hash/` only ever gain names; `dists/.index/SET/` are the index
files of a state, shared by everything that serves that state; `dists/.rev/SUITE/NUMBER/` is one publication: its Release files, and
a link to the set for each component. `dists/SUITE` and `snapshots/SERIAL/dists/SUITE` are symbolic links to publications, and
`CODENAME` beside them one to `SUITE`.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from distwright.archive.contents import Contents, DamagedListError
from distwright.archive.indexes import pool_of, release_of
from distwright.archive.pdiffs import Earlier, with_patches
from distwright.archive.pieces import Pieces
from distwright.archive.rendering import IndexSet, parse_index_set, render
from distwright.archive.served_root import tree_root
from distwright.archive.tree import TreeRoot, parse_root
from distwright.archive.trees import ServedTree
from distwright.errors import DiskFailed, Lost, Refused
from distwright.formats.release import Release, parse_release, write_release
from distwright.jobs.step import Context
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.events import Event, EventKind
from distwright.model.records import Publication, SuiteState
from distwright.signing.signer import Signer
from distwright.store.archives import (
    get_publication,
    insert_publication,
    list_publications,
    live_publication,
    retire_publications,
    set_publication_state,
)
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import object_hold, replace_holds
from distwright.store.locks import locked
from distwright.store.suites import find_suite, last_step_at

PRESET = 1  # of xz, for a leaf that is new; `improve` tries harder when there is time
BEST = 9
_DAMAGED_LISTS = 100  # derived ones that are made anew before something else must be wrong


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A revision to serve. lists: indexes that must exist even if empty. fields: Release fields but Date (indexes.release_of).

    added: binary packages that the upload behind the revision brought; the event repeats them. serial: of the snapshot of ours
    that it is served in; "" is the suite itself. again: sign it anew even if it is served already (prolonged, or another key).
    contents: make Contents files; pdiffs: patches from earlier publications, of the suite itself.
    """

    archive: str
    suite: str
    revision: Sha256
    lists: tuple[str, ...]
    fields: Mapping[str, str]
    added: tuple[str, ...] = ()
    serial: str = ""
    again: bool = False
    contents: bool = False
    pdiffs: bool = False


def publish(request: PublishRequest, context: Context, signer: Signer) -> Publication:
    """Make a revision the served state of its suite and give the publication; nothing happens if it is that already.

    A state that other keys sign by now is signed anew, and one of which clients trust the last third.

    Nothing happens either if the suite has moved on and its present state is served, or a later one than this: a job that is
    retried, or runs twice after its worker was lost, must not take the suite back.

    Order: index objects, row `building`, pool links and by-hash names (only new ones), tree, one rename, row `live` with its
    event. Cut anywhere, the previous state stays served and a repetition ends in the same state. Cost: what changed, and copying
    and hashing the indexes.
    """
    if request.archive not in context.config.archives:  # nobody can say any more whether everybody may see it
        raise Refused(f"archive {request.archive} is no longer configured", hint="distwright archive list")
    with locked(context.paths.lock(f"archive-{request.archive}")):
        tree = ServedTree(tree_root(context.config, context.paths, request.archive))
        reconcile(request.archive, context, tree)
        codename = request.fields.get("Codename", request.suite)
        tree.refuse_codename(request.suite, codename, request.serial)
        live, is_done = _state_of(request, context, signer.fingerprints)
        if live is not None and is_done:
            _finish_codename(live, context, tree)
            return live
        root = parse_root(context.objects.read(request.revision))
        indexes = _indexes_of(request, root, context)
        if request.pdiffs and not request.serial:
            indexes = with_patches(indexes, root, _earlier(live, context), context.now(), context.objects)
        document = context.objects.put(indexes.to_bytes())
        number = _begin(request, context, signer, live, indexes, document)
        files = pool_of(root, context.objects.read, without=_laid_out(request, live, context))
        tree.add_pool(((file.path, file.sha256) for file in files), context.objects)
        tree.add_indexes(document, indexes.files, context.objects, again=request.again)
        tree.add_publication(request.suite, number, _files(context, number), context.objects, document)
        tree.serve(request.suite, number, request.serial)
        tree.serve_codename(request.suite, codename, request.serial)
        return _set_live(number, context)


def pieces_of(context: Context) -> Pieces:
    """Give the ready pieces of this installation."""
    return Pieces(context.paths.cache / "pieces", preset=PRESET)


def improve(context: Context, root: TreeRoot) -> int:
    """Compress the leaves of a state as hard as xz can; say how many became smaller files. Takes 0.1 s for each."""
    pieces, count = pieces_of(context), 0
    leaves = [leaf for of_list in root.lists.values() for leaf in of_list]
    for number, leaf in enumerate(leaves, start=1):
        context.check_cancelled()
        count += pieces.improve(leaf, context.objects.read, preset=BEST)
        context.progress("compress indexes", number, len(leaves), "pieces")
    return count


def reconcile(archive: str, context: Context, tree: ServedTree) -> None:
    """Finish or discard publications of an archive that were cut off: what is served (the symlink) is the truth."""
    with context.database.read() as tx:
        building = list_publications(tx, state="building", archive=archive)
    for row in building:
        if tree.served(row.suite, row.serial) == row.id:
            _set_live(row.id, context)
        else:
            with context.write() as tx:
                set_publication_state(tx, row.id, "discarded")
                replace_holds(tx, f"publication {row.id}", [], context.now())


def _state_of(request: PublishRequest, context: Context, signers: tuple[str, ...]) -> tuple[Publication | None, bool]:
    """Give what is served now, and whether nothing is left to do."""
    with context.database.read() as tx:
        live = live_publication(tx, request.archive, request.suite, request.serial)
        present = find_suite(tx, request.archive, request.suite)
        if live is None:
            return None, False
        is_behind = present is not None and _is_behind(tx, request.revision, live, present)
    if live.revision == request.revision:
        wanted = (dict(request.fields), signers, request.contents)
        is_same = _served_as(live, context) == wanted and _lists_of(live, context) == set(request.lists)
        return live, is_same and not request.again and not _ends_soon(live, context)
    if not request.serial and is_behind:
        name = f"{request.archive}/{request.suite}"
        context.log(f"{name} has moved on to {live.revision.short}; {request.revision.short} is not published any more")
        return live, True
    return live, False


def _is_behind(tx: Transaction, revision: Sha256, live: Publication, present: SuiteState) -> bool:
    """Say whether a suite came to a revision before it came to what is served; a return to an earlier one is a step ahead."""
    if revision == present.revision:
        return False
    wanted = last_step_at(tx, live.archive, live.suite, revision)
    return live.revision == present.revision or wanted < last_step_at(tx, live.archive, live.suite, live.revision)


def _finish_codename(live: Publication, context: Context, tree: ServedTree) -> None:
    """Lay the second name of what is served, in case its publish was cut off there; what a later one has taken stays so."""
    for codename, suite in codenames(context, live.archive, live.serial).items():
        if suite == live.suite:
            tree.serve_codename(suite, codename, live.serial)


def codenames(context: Context, archive: str, serial: str = "") -> dict[str, str]:
    """Say which suite has which second name: of two that claim one, whichever was published last."""
    with context.database.read() as tx:
        rows = [row for row in list_publications(tx, archive=archive, state="live") if row.serial == serial]
    named = ((_served_as(row, context)[0].get("Codename", row.suite), row.suite) for row in reversed(rows))
    return {codename: suite for codename, suite in named if codename != suite}


def _ends_soon(live: Publication, context: Context) -> bool:
    """Say whether less than a third is left of the time for which what is served was signed; what cannot be read is signed anew."""
    try:
        release = _release(live, context)
    except Lost:
        return True
    return release.valid_until is not None and release.valid_until - context.now() < (
        (release.valid_until - release.date) / 3
    )


def _served_as(live: Publication, context: Context) -> tuple[dict[str, str], tuple[str, ...], bool]:
    try:
        document = json.loads(context.objects.read(live.tree))
    except Lost:  # it is made anew
        return {}, (), False
    return dict(document.get("fields", {})), tuple(document.get("signers", ())), document.get("contents", False)


def _lists_of(live: Publication, context: Context) -> set[str]:
    """Give the lists that were asked for: an archive may have got another architecture or component since."""
    try:
        document = json.loads(context.objects.read(live.tree)).get("indexes")
        return set() if document is None else set(parse_index_set(context.objects.read(Sha256(document))).lists)
    except Lost:  # it is made anew
        return set()


def _laid_out(request: PublishRequest, live: Publication | None, context: Context) -> TreeRoot | None:
    """Give a state whose pool files are published already, the nearest there is: only what it lacks must be linked.

    This state itself, where it is served under another name (a snapshot of the suite, a branch); else what is served now, of this
    name or of the suite; else of the suite that it branched from.
    """
    with context.database.read() as tx:
        same = list_publications(tx, archive=request.archive, revision=request.revision, state="live")
        suite = find_suite(tx, request.archive, request.suite)
        names = [request.suite, *([suite.parent] if suite is not None and suite.parent else [])]
        others = [live_publication(tx, request.archive, name) for name in names]
    for row in (*same, live, *others):
        if row is not None:
            with suppress(Lost):
                return parse_root(context.objects.read(row.revision))
    return None


def _earlier(live: Publication | None, context: Context) -> Earlier | None:
    """Give what clients have; None too if that is damaged: patches are a help, not a need."""
    try:
        document = None if live is None else json.loads(context.objects.read(live.tree)).get("indexes")
        if live is None or document is None:
            return None
        root = parse_root(context.objects.read(live.revision))
        return Earlier(root, parse_index_set(context.objects.read(Sha256(document))))
    except Lost as error:
        context.log(f"no patches from what was served: {error.message}")
        return None


def _indexes_of(request: PublishRequest, root: TreeRoot, context: Context) -> IndexSet:
    """Give the indexes of the revision: as another publication has them, or made now."""
    with context.database.read() as tx:
        rows = list_publications(tx, archive=request.archive, revision=request.revision)
    for row in () if request.again else rows:
        with suppress(Lost):
            name = json.loads(context.objects.read(row.tree)).get("indexes")
            if name is not None:
                indexes = parse_index_set(context.objects.read(Sha256(name))).without_patches
                is_same = (indexes.lists, indexes.has_contents) == (request.lists, request.contents)
                if is_same and all(context.objects.has(entry.sha256) for entry in indexes.files.values()):
                    return indexes
    return rendered(root, request.lists, context, has_contents=request.contents)


def rendered(root: TreeRoot, lists: Sequence[str], context: Context, *, has_contents: bool) -> IndexSet:
    """Make the indexes of a state; once more if a derived file list was damaged, which is gone then."""
    for _ in range(_DAMAGED_LISTS):
        contents = Contents(context.paths.cache / "contents", context.objects) if has_contents else None
        try:
            indexes = render(root, lists, pieces_of(context), context.objects, contents)
        except DamagedListError as error:
            context.log(f"{error}: it is made anew")
            continue
        for problem in contents.unread if contents else ():
            context.log(f"not in Contents: {problem}")
        return indexes
    raise DiskFailed("a file list is damaged as soon as it is written", hint="look at what the kernel says (dmesg)")


def _begin(
    request: PublishRequest,
    context: Context,
    signer: Signer,
    live: Publication | None,
    indexes: IndexSet,
    document: Sha256,
) -> int:
    """Sign, keep everything as objects, and add the row `building` with its holds."""
    now = context.now()
    fields = {**request.fields, "Date": _date(now, live, context).isoformat()}
    if "Names-Keys" in fields:
        fields["Signed-By"] = ",".join(fingerprint.upper() for fingerprint in signer.fingerprints)
    release = write_release(release_of(fields, indexes.entries))
    signed = {
        "InRelease": context.objects.put(signer.sign_clear(release)),
        "Release": context.objects.put(release),
        "Release.gpg": context.objects.put(signer.sign_detached(release)),
    }
    files: dict[str, Json] = {path: str(entry.sha256) for path, entry in indexes.files.items()}
    files |= {path: str(digest) for path, digest in signed.items()}
    body: dict[str, Json] = {
        "format": 1,
        "files": files,
        "indexes": str(document),
        "fields": dict(request.fields),
        "added": list(request.added),
        "signers": list(signer.fingerprints),
        "contents": request.contents,
    }
    tree = context.objects.put(canonical_json(body))
    row = Publication(0, request.archive, request.suite, request.revision, tree, "building", now, serial=request.serial)
    with context.write() as tx:
        number = insert_publication(tx, row)
        holder = f"publication {number}"
        kept = [object_hold(holder, tree, "tree"), object_hold(holder, request.revision, "state")]
        replace_holds(tx, holder, kept, now)
    return number


def _date(now: datetime, live: Publication | None, context: Context) -> datetime:
    """Give the Date of the next Release: never before the one that clients have, whatever this machine's clock says."""
    present = now.replace(microsecond=0)
    if live is None:
        return present
    try:
        return max(present, _release(live, context).date)
    except Lost:
        return max(present, live.at.replace(microsecond=0))


def _release(live: Publication, context: Context) -> Release:
    return parse_release(context.objects.read(Sha256(json.loads(context.objects.read(live.tree))["files"]["Release"])))


def _files(context: Context, number: int) -> dict[str, Sha256]:
    with context.database.read() as tx:
        row = get_publication(tx, number)
    files = json.loads(context.objects.read(row.tree))["files"]
    return {name: Sha256(digest) for name, digest in files.items() if "/" not in name}


def _set_live(number: int, context: Context) -> Publication:
    now = context.now()
    with context.write() as tx:
        row = get_publication(tx, number)
        added = json.loads(context.objects.read(row.tree)).get("added", [])
        before = live_publication(tx, row.archive, row.suite, row.serial)
        if before is not None:
            retire_publications(tx, [before.id], now)
        set_publication_state(tx, number, "live")
        if not row.serial:
            body: dict[str, Json] = {
                "archive": row.archive,
                "suite": row.suite,
                "revision": row.revision,
                "publication": number,
                "tree": row.tree,
                "added": added,
            }
            append_event(tx, Event(EventKind.SUITE_PUBLISHED, now, f"{row.archive}/{row.suite}", body, context.job))
    return replace(row, state="live")
