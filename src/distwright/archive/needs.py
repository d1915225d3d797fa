"""Who needs which snapshot: what holds it now, and the holds that people place and take away by hand."""

from collections.abc import Mapping
from datetime import datetime

from distwright.errors import BadUsage, NotFound
from distwright.jobs.step import Context
from distwright.store.archives import find_snapshot
from distwright.store.database import Transaction
from distwright.store.holds import Hold, add_holds, drop_hold, holds_of, holds_of_kind, holds_on, serial_hold

PERSON = "user "
"""What names of holders begin with that are people; all others let go by themselves."""


def needed_by(tx: Transaction, archive: str, serial: str, now: datetime) -> list[Hold]:
    """List who needs a snapshot; holds that have ended are left out."""
    return holds_on(tx, "serial", f"{archive}/{serial}", now)


def needed_serials(tx: Transaction, now: datetime, archive: str | None = None) -> Mapping[tuple[str, str], list[Hold]]:
    """List who needs each snapshot that anybody needs, by archive and serial."""
    found: dict[tuple[str, str], list[Hold]] = {}
    for hold in holds_of_kind(tx, "serial"):
        name, _, serial = hold.target.partition("/")
        if archive in (None, name) and (hold.until is None or hold.until > now):
            found.setdefault((name, serial), []).append(hold)
    return found


def hold_serial(
    context: Context, archive: str, serial: str, holder: str, reason: str, until: datetime | None = None
) -> None:
    """Let a person hold a snapshot, until they let go or until a time; what they said of it before is replaced.

    Raises NotFound, and BadUsage for a time that is past, or no reason.
    """
    if not reason.strip():
        raise BadUsage("a hold needs a reason: somebody will ask in a year", hint="add --reason")
    if until is not None and until <= context.now():
        raise BadUsage(f"{until:%Y-%m-%d %H:%M} is past", hint="give a later --until, or none")
    hold = serial_hold(holder, archive, serial, reason, until)
    with context.write() as tx:
        if find_snapshot(tx, archive, serial) is None:
            raise NotFound(f"archive {archive} has no snapshot {serial}", hint=f"distwright snapshot list {archive}")
        drop_hold(tx, hold)
        add_holds(tx, holder, [hold], context.now())


def release_serial(context: Context, archive: str, serial: str, holder: str) -> None:
    """Let a person's hold go; raise NotFound if there is none, BadUsage for a holder that is no person."""
    if not holder.startswith(PERSON):
        raise BadUsage(f"{holder} is no person, it lets go by itself", hint="distwright snapshot holds")
    with context.write() as tx:
        held = [hold for hold in holds_of(tx, holder) if (hold.kind, hold.target) == ("serial", f"{archive}/{serial}")]
        if not held:
            raise NotFound(f"{holder} does not hold {archive} {serial}", hint="distwright snapshot holds")
        drop_hold(tx, held[0])
