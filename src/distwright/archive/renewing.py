"""Renew what is needed before it ends, and tell once of what cannot be renewed: what a daily command does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from distwright.archive.endings import Ending, Served, served_states
from distwright.archive.pinning import hold_pins
from distwright.archive.prolonging import due_snapshots, prolong_due
from distwright.archive.prolonging_own import prolong_own
from distwright.archive.resolve import publish_request
from distwright.archive.suites import publish_suite
from distwright.config.embargo import is_private_archive
from distwright.config.model import Config
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import DistwrightError
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Context, KindName
from distwright.model.digests import Json
from distwright.model.events import Event, EventKind
from distwright.store.database import Database
from distwright.store.events import append_event, newest_event
from distwright.store.objects import ObjectStore
from distwright.store.suites import get_suite

RENEW_KIND = KindName("archive.renew", 1)
PUBLIC = ""


def renewal_orders(config: Config, database: Database, objects: ObjectStore, now: datetime) -> list[JobOrder]:
    """Order that what is due is signed anew. What could not be is tried again the next day.

    All that is public in one order, and each private archive in one of its own: an order says what was due, and its job what was.
    """
    orders = []
    for archive in (PUBLIC, *(name for name in config.archives if is_private_archive(config, name))):
        inputs: dict[str, Json] = {"due": list(due_names(config, database, objects, now, archive))}
        inputs |= {"day": f"{now:%Y-%m-%d}", **({"archive": archive} if archive else {})}
        if inputs["due"]:
            orders.append(JobOrder(RENEW_KIND, inputs, "sign anew what ends soon"))
    return orders


def due_names(
    config: Config, database: Database, objects: ObjectStore, now: datetime, archive: str | None = None
) -> list[str]:
    """Name what `renew_due` would sign anew, as far as the database knows of pins.

    archive: of which private one; PUBLIC: of all that are not; None: of all.
    """
    due: list[str] = []
    with database.read() as tx:
        for name, table in config.archives.items():
            if isinstance(table, UpstreamArchive) and table.key is not None and _is_meant(config, name, archive):
                due += [f"{name} {row.serial}" for row in due_snapshots(tx, name, objects, now)]
    served = served_states(database, objects, now)
    return [*due, *(one.name for one in served if _is_ours(config, one, archive) and one.is_due(now))]


def renew_due(context: Context, archive: str | None = None) -> list[str]:
    """Sign anew what is needed and ends soon: recorded serials, our suites, our snapshots; give their names.

    archive: of which, as `due_names` has it. What fails is said in the log and does not stop the rest.
    """
    hold_pins(context)
    done: list[str] = []
    for name, table in context.config.archives.items():
        if isinstance(table, UpstreamArchive) and table.key is not None and _is_meant(context.config, name, archive):
            credential = table.key.credential
            serials = _tried(context, name, partial(prolong_due, context, name, credential))
            done += [f"{name} {serial}" for serial in serials]
    snapshots: set[tuple[str, str]] = set()
    for served in served_states(context.database, context.objects, context.now()):
        place = (served.row.archive, served.row.serial)
        if _is_ours(context.config, served, archive) and served.is_due(context.now()) and place not in snapshots:
            if served.row.serial:  # all its suites are signed together
                snapshots.add(place)
            done += _tried(context, served.name, partial(_renew, context, served))
    return done


def tell_endings(context: Context, endings: Sequence[Ending]) -> list[Ending]:
    """Write an event for each thing that ends, unless the last one about it says the same; give those that are new."""
    new = []
    for ending in endings:
        body: dict[str, Json] = {"about": ending.subject, "what": ending.what, "hint": ending.hint}
        with context.write() as tx:
            last = newest_event(tx, ending.subject, EventKind.WARNING_RAISED)
            if last is None or last.event.body != body:
                append_event(tx, Event(EventKind.WARNING_RAISED, context.now(), ending.subject, body, context.job))
                new.append(ending)
    return new


def _is_ours(config: Config, served: Served, archive: str | None) -> bool:
    name = served.row.archive
    return isinstance(config.archives.get(name), OwnArchive) and _is_meant(config, name, archive)


def _is_meant(config: Config, name: str, archive: str | None) -> bool:
    return archive is None or name == archive or (archive == PUBLIC and not is_private_archive(config, name))


def _renew(context: Context, served: Served) -> list[str]:
    row = served.row
    if row.serial:
        prolong_own(context, row.archive, row.serial, served.days)
        return [served.name]
    with context.database.read() as tx:
        present = get_suite(tx, row.archive, row.suite)
    request = publish_request(context.config, replace(present, revision=row.revision), again=True)
    publish_suite(context, request)
    return [served.name]


def _tried(context: Context, name: str, act: Callable[[], list[str]]) -> list[str]:
    try:
        return act()
    except DistwrightError as error:
        context.log(f"{name} is not renewed: {error.message} ({error.hint})")
        return []
