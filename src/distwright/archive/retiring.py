"""Drop snapshots that nothing needs: whoever needs one keeps it, whatever its age; a policy decides about the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from distwright.archive.needs import needed_serials
from distwright.archive.own_snapshots import drop_snapshots
from distwright.archive.pinning import hold_pins
from distwright.config.tables_archive import UpstreamArchive
from distwright.jobs.step import Context
from distwright.model.records import Snapshot
from distwright.store.archives import list_snapshots
from distwright.store.holds import Hold

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """What stays although nothing needs it: the newest so many, and what is younger than so many days. Both unset: everything."""

    keep: int | None = None
    keep_days: int | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A snapshot, whether it stays, and why."""

    row: Snapshot
    stays: bool
    why: str


def judge_snapshots(
    rows: Sequence[Snapshot], needed: Mapping[str, Sequence[Hold]], policy: Policy, now: datetime, *, is_followed: bool
) -> list[Judged]:
    """Judge the snapshots of one archive.

    rows: newest first. needed: by serial. is_followed: clients and branches use its newest.
    """
    return [
        _judged(row, number, needed.get(row.serial, ()), policy, now, is_followed=is_followed)
        for number, row in enumerate(rows, start=1)
    ]


def retire_snapshots(context: Context, archive: str, policy: Policy, *, really: bool) -> list[Judged]:
    """Say of each snapshot of an archive whether it stays and why, and drop the others; really: do it.

    Pins are read from git once more first. Raises Refused if one of them came to be needed meanwhile: then all stay.
    """
    hold_pins(context)
    with context.database.read() as tx:
        rows = list_snapshots(tx, archive)
        needed = {serial: holds for (_, serial), holds in needed_serials(tx, context.now(), archive).items()}
    is_followed = isinstance(context.config.archives.get(archive), UpstreamArchive)
    judged = judge_snapshots(rows, needed, policy, context.now(), is_followed=is_followed)
    going = [one.row.serial for one in judged if not one.stays]
    if going and really:
        drop_snapshots(context, archive, going)
    return judged


def _judged(
    row: Snapshot, number: int, holds: Sequence[Hold], policy: Policy, now: datetime, *, is_followed: bool
) -> Judged:
    if holds:
        return Judged(row, stays=True, why=_needed_text(holds))
    if number == 1 and is_followed:
        return Judged(row, stays=True, why="the newest, which clients and branches follow")
    if policy.keep is None and policy.keep_days is None:
        return Judged(row, stays=True, why="nothing says how long it is kept: set keep or keep_days")
    if policy.keep is not None and number <= policy.keep:
        return Judged(row, stays=True, why=f"one of the newest {policy.keep}")
    if policy.keep_days is not None and row.taken_at > now - timedelta(days=policy.keep_days):
        return Judged(row, stays=True, why=f"younger than {policy.keep_days} days")
    return Judged(row, stays=False, why="nothing needs it")


def _needed_text(holds: Sequence[Hold]) -> str:
    texts = [f"{hold.holder} ({hold.reason})" for hold in holds[:_SHOWN]]
    more = [f"and {len(holds) - _SHOWN} more"] if len(holds) > _SHOWN else []
    return f"needed by {', '.join([*texts, *more])}"
