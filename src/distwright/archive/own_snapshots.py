"""Snapshots of our own archives: one row that names the present revision of each suite; published below `snapshots/SERIAL/`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distwright.archive.needs import needed_by
from distwright.archive.pinning import hold_pins
from distwright.archive.prolonging import resigned_holder
from distwright.archive.publish import PublishRequest, publish
from distwright.archive.resolve import publish_request
from distwright.archive.served_root import tree_root
from distwright.archive.trace import write_trace
from distwright.archive.trees import ServedTree
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import BadInput, NotFound, Refused, listed
from distwright.jobs.step import Context
from distwright.model.digests import Json, Sha256, canonical_json
from distwright.model.events import Event, EventKind
from distwright.model.records import Publication, Snapshot, SuiteState
from distwright.model.serials import Serial, next_serial
from distwright.store.archives import (
    delete_snapshot,
    find_snapshot,
    insert_snapshot,
    list_publications,
    live_publication,
    newest_serial,
    newest_snapshot,
    retire_publications,
)
from distwright.store.database import Transaction
from distwright.store.events import append_event
from distwright.store.holds import drop_holds, object_hold, replace_holds
from distwright.store.locks import locked
from distwright.store.signed import forget_resigned
from distwright.store.suites import get_suite, list_suites

OWN_SNAPSHOT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class OwnSnapshot:
    """The states of suites at one moment: suite -> revision, and the configured suite whose settings count."""

    suites: Mapping[str, tuple[Sha256, str]]

    def to_bytes(self) -> bytes:
        """Give the canonical form."""
        states: dict[str, Json] = {
            name: {"revision": str(revision), "settings": settings}
            for name, (revision, settings) in self.suites.items()
        }
        return canonical_json({"format": OWN_SNAPSHOT_FORMAT, "own": states})


def parse_own_snapshot(content: bytes) -> OwnSnapshot:
    """Read what `to_bytes` wrote; raise BadInput for another format."""
    document = json.loads(content)
    if document.get("format") != OWN_SNAPSHOT_FORMAT or "own" not in document:
        raise BadInput("this is no snapshot of an archive of ours", hint="distwright snapshot list")
    return OwnSnapshot({name: (Sha256(row["revision"]), row["settings"]) for name, row in document["own"].items()})


def take_snapshot(context: Context, archive: str, suites: Sequence[str], serial: Serial | None = None) -> Snapshot:
    """Name the present states of suites (all, if none are named) by a serial: one row, whatever their size.

    One that has this serial and these states already is given again. Raises NotFound, and Refused for any other serial that is not
    later than all others, dropped ones too.
    """
    now = context.now()
    with context.database.read() as tx:
        rows = [get_suite(tx, archive, name) for name in suites] or [r for r in list_suites(tx) if r.archive == archive]
    if not rows:
        raise NotFound(f"archive {archive} has no suites of ours", hint="distwright suite list")
    document = context.objects.put(OwnSnapshot({row.name: (row.revision, row.settings) for row in rows}).to_bytes())
    with context.write() as tx:
        same = None if serial is None else find_snapshot(tx, archive, serial)
        if same is not None and same.digest == document:
            return same
        newest = newest_serial(tx, archive)
        if serial is not None and newest is not None and serial <= newest:
            raise Refused(
                f"serial {serial} is not later than {newest}, the newest that {archive} has had",
                hint=f"distwright snapshot list {archive}",
            )
        row = Snapshot(archive, serial or next_serial(newest, now), document, now, None, "")
        insert_snapshot(tx, row)
        holder = f"snapshot {archive}/{row.serial}"
        states = [object_hold(holder, state.revision, state.name) for state in rows]
        replace_holds(tx, holder, [object_hold(holder, document, "snapshot"), *states], now)
        body: dict[str, Json] = {"archive": archive, "serial": row.serial, "snapshot": document}
        append_event(tx, Event(EventKind.SNAPSHOT_RECORDED, now, f"{archive}/{row.serial}", body, context.job))
    write_trace(context, archive)
    return row


def publish_snapshot(context: Context, archive: str, serial: str, *, again: bool = False) -> list[Publication]:
    """Serve every suite of a snapshot of ours as `snapshots/SERIAL/dists/SUITE`; nothing happens if it is served already."""
    table = _own(context, archive)
    with context.database.read() as tx:
        row = _existing(tx, archive, serial)
    made = []
    for name, (revision, settings) in parse_own_snapshot(context.objects.read(row.digest)).suites.items():
        state = SuiteState(archive, name, "", revision, row.taken_at, follows=settings)
        request = _as_prolonged(publish_request(context.config, state, serial=serial, again=again), context)
        made.append(publish(request, context, context.signer(*table.credentials)))
    return made


def _as_prolonged(request: PublishRequest, context: Context) -> PublishRequest:
    """Keep the longer validity of a snapshot that was prolonged: publishing it again must not take it back."""
    with context.database.read() as tx:
        live = live_publication(tx, request.archive, request.suite, request.serial)
    if live is None or "Valid-Days" not in request.fields:
        return request
    served = json.loads(context.objects.read(live.tree)).get("fields", {}).get("Valid-Days", "0")
    days = max(int(served), int(request.fields["Valid-Days"]))
    return replace(request, fields={**request.fields, "Valid-Days": str(days)})


def drop_snapshots(context: Context, archive: str, serials: Sequence[str], *, dry_run: bool = False) -> None:
    """Forget snapshots, ours or recorded ones, and stop serving them.

    Pins are read from git once more first. Raises Refused, naming who, if one is held, or if it is the newest of an upstream; then
    nothing is dropped. Cut off between rows and files, it does the rest when it is called again. dry_run: only raise what it would.
    """
    tree = ServedTree(tree_root(context.config, context.paths, archive))
    wanted = [Serial(serial) for serial in serials]  # they become paths
    hold_pins(context)
    with locked(context.paths.lock(f"archive-{archive}")):
        with context.database.read() as tx:
            rows = [_existing(tx, archive, serial) for serial in wanted if not _is_left_over(tx, tree, archive, serial)]
            _refuse_drop(tx, context, archive, rows)
        if dry_run:
            return
        with context.write() as tx:
            _refuse_drop(tx, context, archive, rows)
            dropped = set(serials)
            live = [row.id for row in list_publications(tx, archive=archive, state="live") if row.serial in dropped]
            retire_publications(tx, live, context.now())
            for row in rows:
                delete_snapshot(tx, archive, row.serial)
                forget_resigned(tx, archive, row.serial)
            drop_holds(tx, [f"snapshot {archive}/{row.serial}" for row in rows])
            drop_holds(tx, [resigned_holder(archive, row.serial) for row in rows])
        for serial in serials:
            tree.forget_snapshot(serial)
        write_trace(context, archive)


def _own(context: Context, archive: str) -> OwnArchive:
    table = context.config.archives.get(archive)
    if not isinstance(table, OwnArchive):
        raise NotFound(f"archive {archive} is not our own", hint="distwright archive list")
    return table


def _is_left_over(tx: Transaction, tree: ServedTree, archive: str, serial: Serial) -> bool:
    """Say whether there are only files of a snapshot: what dropped it was cut off."""
    return find_snapshot(tx, archive, serial) is None and tree.has_snapshot(serial)


def _refuse_drop(tx: Transaction, context: Context, archive: str, rows: Sequence[Snapshot]) -> None:
    """Refuse what is held, and the newest of an upstream: clients would go back, and its serial be given twice."""
    problems = [
        f"{row.serial} is needed by {hold.holder}: {hold.reason}"
        for row in rows
        for hold in needed_by(tx, archive, row.serial, context.now())
    ]
    newest = newest_snapshot(tx, archive)
    if newest is not None and newest in rows and isinstance(context.config.archives.get(archive), UpstreamArchive):
        problems.append(f"{newest.serial} is the newest of {archive}, which clients and branches follow")
    if problems:
        raise Refused(f"these stay:\n{listed(problems)}", hint="drop what holds them first")


def _existing(tx: Transaction, archive: str, serial: str) -> Snapshot:
    row = find_snapshot(tx, archive, serial)
    if row is None:
        raise NotFound(f"archive {archive} has no snapshot {serial}", hint=f"distwright snapshot list {archive}")
    return row
