"""Advance the flow: every event is read once, in order; its orders and the reader's place are written together."""

from collections.abc import Callable
from datetime import datetime

from distwright.errors import DistwrightError, NotFound, quoted
from distwright.flow.rules import RULES, View
from distwright.jobs.order import JobOrder, place_order
from distwright.model.events import StoredEvent
from distwright.store.database import Database, Transaction
from distwright.store.events import (
    clear_waiting,
    cursor_of,
    events_after,
    move_cursor,
    release_event,
    set_waiting,
    waiting,
)
from distwright.store.refs import applied_config

READER = "flow"


def advance(database: Database, view: View, now: datetime, hint: Callable[[str], None]) -> int:
    """Deal with all new events, and try the waiting ones again if there were any; give the number of events dealt with.

    Killed anywhere, nothing is lost and nothing ordered twice: an order is known by its digest.
    """
    with database.read() as tx:
        new = events_after(tx, cursor_of(tx, READER))
        old = [event for event, _ in waiting(tx, READER)]
        applied = applied_config(tx)
    commit = None if applied is None else applied.commit
    for event in new:
        _deal_with(database, view, event, now, hint, commit, is_new=True)
    if new:
        for event in old:
            _deal_with(database, view, event, now, hint, commit, is_new=False)
    return len(new)


def _deal_with(
    database: Database,
    view: View,
    event: StoredEvent,
    now: datetime,
    hint: Callable[[str], None],
    commit: str | None,
    *,
    is_new: bool,
) -> None:
    orders, reasons = _ask_rules(database, view, event)
    with database.write() as tx:
        if is_new and cursor_of(tx, READER) >= event.number:
            return  # another process was faster; our answer may be older than its
        for order in orders:
            # An event that waits is asked again and again: what broke since must not be begun anew each time.
            place_order(
                tx, order, now, config_commit=commit, cause=event.number, objects=view.ground.objects, may_repeat=is_new
            )
        if reasons:
            set_waiting(tx, READER, event.number, "; ".join(reasons))
        else:
            clear_waiting(tx, READER, event.number)
            release_event(tx, event.number, now)
        if is_new:
            move_cursor(tx, READER, event.number)
    for pool in {order.pool for order in orders}:
        hint(pool)


def _ask_rules(database: Database, view: View, event: StoredEvent) -> tuple[list[JobOrder], list[str]]:
    """Collect what follows from an event; a rule that cannot say yet (or at all) gives its reason, the others still count."""
    orders: list[JobOrder] = []
    reasons: list[str] = []
    for rule in RULES.get(event.event.kind, ()):
        try:
            with database.read() as tx:
                orders += rule(tx, view, event.event)
        except DistwrightError as error:
            reasons.append(f"{error.message} ({error.hint})")
        except KeyError as error:
            missing = NotFound(f"the configuration no longer has {error}", hint="distwright config check")
            reasons.append(missing.message)
        except Exception as error:  # one event that a rule chokes on must not hold up all that come after it
            reasons.append(f"a bug of distwright in rule {rule.__name__}: {quoted(repr(error))}")
    return orders, reasons


def waiting_reasons(tx: Transaction) -> list[tuple[StoredEvent, str]]:
    """List the events that nothing has followed from yet, and why."""
    return list(waiting(tx, READER))
