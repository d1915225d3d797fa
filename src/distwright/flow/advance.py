"""Advance the flow: every event is read once, in order; its orders and the reader's place are written together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distwright.archive.resolve import NotReadyError
from distwright.errors import DistwrightError, NotFound, quoted
from distwright.flow.keys import KeyMissing, refuse_without_keys
from distwright.flow.rules import RULES
from distwright.flow.standing import placed_as, standing_of
from distwright.flow.view import FLOW, OUR_FAULTS, PartlyOrdered, View
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.pools import in_its_pool, shared_pools
from distwright.model.events import EventKind, OpenEvent, StoredEvent
from distwright.store.database import Database, Transaction
from distwright.store.events import (
    clear_open,
    cursor_of,
    events_after,
    is_open,
    move_cursor,
    open_events,
    release_event,
    retry_open,
    set_open,
)
from distwright.store.refs import applied_config
from distwright.store.stale import mark_branches_at

READER = FLOW
OUR_FAULT_RETRY = timedelta(minutes=5)

# What an event can wait for: a snapshot, a published suite, a table of the configuration; packages that did not come after all.
_MAKES_READY = frozenset(
    {EventKind.SNAPSHOT_RECORDED, EventKind.SUITE_PUBLISHED, EventKind.CONFIG_APPLIED, EventKind.JOB_ENDED}
)


@dataclass(slots=True)
class _Answer:
    """What the rules said to an event. waits, refuses: reasons. retry_at: the earliest time that a reason gave."""

    orders: list[JobOrder] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    refuses: list[str] = field(default_factory=list)
    retry_at: datetime | None = None

    def hear(self, error: DistwrightError, now: datetime) -> None:
        """Take in why something could not be ordered."""
        reason = f"{error.message} ({error.hint})"
        if isinstance(error, NotReadyError):
            self.wait(reason, error.ready_at)
        elif isinstance(error, OUR_FAULTS):  # the event is right, this machine is not: no reason to ask a person
            self.wait(reason, now + OUR_FAULT_RETRY)
        else:
            self.refuses.append(reason)

    def wait(self, reason: str, retry_at: datetime | None = None) -> None:
        self.waits.append(reason)
        if retry_at is not None:
            self.retry_at = min(retry_at, self.retry_at or retry_at)


def advance(database: Database, view: View, now: datetime, hint: Callable[[str], None]) -> int:
    """Deal with all new events, then with waiting ones that may be ready; give the number of new events.

    An event waits only for what is not ready yet: until an event of a kind that can make it so, or the time that its reason gives.
    Every other refusal is kept with its reason and not tried again unless a person asks (`ask_again`). Killed anywhere, nothing is
    lost and nothing ordered twice: an order is known by its digest.
    """
    with database.read() as tx:
        new = events_after(tx, cursor_of(tx, READER))
        waiting = [row for row in open_events(tx, READER) if not row.is_refused]
        applied = applied_config(tx)
    commit = None if applied is None else applied.commit
    for event in new:
        _deal_with(database, view, event, now, hint, commit, is_new=True)
    may_be_ready = any(event.event.kind in _MAKES_READY for event in new)
    for row in waiting:
        if may_be_ready or (row.retry_at is not None and row.retry_at <= now):
            _deal_with(database, view, row.event, now, hint, commit, is_new=False)
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
    answer = _ask_rules(database, view, event, now)
    pools = shared_pools(database, view.config)
    orders = [in_its_pool(order, pools) for order in answer.orders]
    with database.write() as tx:
        if is_new and cursor_of(tx, READER) >= event.number:
            return  # another process was faster; our answer may be older than its
        if not is_new and not is_open(tx, READER, event.number):
            return  # another process was faster, or a person dropped it
        standing = standing_of(tx, view.config, event.event)
        for order in orders:
            # An event that waits is asked again and again: what broke since must not be begun anew each time.
            place_order(
                tx,
                placed_as(tx, view.config, standing, order),
                now,
                config_commit=commit,
                cause=event.number,
                objects=view.ground.objects,
                may_repeat=is_new,
            )
        reasons = "; ".join((*answer.waits, *answer.refuses))
        if reasons:
            is_refused = not answer.waits
            set_open(tx, READER, event.number, reasons, is_refused=is_refused, retry_at=answer.retry_at)
        else:
            clear_open(tx, READER, event.number)
            release_event(tx, event.number, now)
        for one in standing.commits:
            mark_branches_at(tx, one.repo, one.commit)  # what they wait for may be another thing now
        if is_new:
            move_cursor(tx, READER, event.number)
    for pool in {order.pool for order in orders}:
        hint(pool)


def _ask_rules(database: Database, view: View, event: StoredEvent, now: datetime) -> _Answer:
    """Collect what follows from an event; a rule that cannot say yet (or at all) gives its reason, the others still count."""
    answer = _Answer()
    for rule in RULES.get(event.event.kind, ()):
        try:
            answer.orders += rule(database, view, event.event)
        except PartlyOrdered as error:
            answer.orders += error.orders
            for reason in error.reasons:
                answer.hear(reason, now)
        except DistwrightError as error:
            answer.hear(error, now)
        except KeyError as error:
            answer.wait(f"the configuration no longer has {error}")
        except Exception as error:  # one event that a rule chokes on must not hold up all that come after it
            answer.refuses.append(f"a bug of distwright in rule {rule.__name__}: {quoted(repr(error))}")
    answer.orders = [order for order in answer.orders if _has_its_keys(view, order, answer, now)]
    return answer


def _has_its_keys(view: View, order: JobOrder, answer: _Answer, now: datetime) -> bool:
    try:
        refuse_without_keys(view.config, order, view.has_key)
    except KeyMissing as error:
        answer.wait(f"{error.message} ({error.hint})", now + OUR_FAULT_RETRY)
        return False
    return True


def unanswered(tx: Transaction) -> list[OpenEvent]:
    """List the events that not everything has followed from yet, and why."""
    return open_events(tx, READER)


def ask_again(database: Database, number: int, now: datetime) -> None:
    """Have a waiting or refused event tried again by the next `advance`; raise NotFound."""
    with database.write() as tx:
        if not retry_open(tx, READER, number, now):
            raise _not_open(number)


def ask_all_again(database: Database, now: datetime) -> None:
    """Have all waiting events tried by the next `advance`: what they wait for may be there now. Refused ones stay refused."""
    with database.write() as tx:
        for row in open_events(tx, READER):
            if not row.is_refused:
                retry_open(tx, READER, row.event.number, now)


def drop(database: Database, number: int) -> None:
    """Give up a waiting or refused event: nothing will follow from it; raise NotFound."""
    with database.write() as tx:
        if not clear_open(tx, READER, number):
            raise _not_open(number)


def _not_open(number: int) -> NotFound:
    return NotFound(f"event {number} neither waits nor is refused", hint="distwright event list")
