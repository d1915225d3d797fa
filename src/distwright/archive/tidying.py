"""End freeze exceptions that nobody needs any more: what is below their suite has the version, or a newer one."""

from collections.abc import Sequence
from datetime import datetime

from distwright.archive.changing import SuiteChange, edited, move, root_of
from distwright.archive.exception_origin import State, base_of, is_source, open_state
from distwright.archive.exception_rules import Verdict, built_from, judge_exception, without_source
from distwright.archive.tree import Stanzas
from distwright.jobs.order import JobOrder
from distwright.jobs.step import Context, KindName
from distwright.model.records import FreezeException
from distwright.store.exceptions import end_exception, list_exceptions
from distwright.store.suites import get_suite

TIDY_KIND = KindName("suite.tidy", 1)


def tidy_order(archive: str, suite: str, because: str, at: datetime) -> JobOrder:
    """Order that the exceptions of a suite are looked at. because, at: what moved and when; makes each time a job of its own."""
    inputs = {"archive": archive, "suite": suite, "because": because, "at": at.isoformat()}
    return JobOrder(TIDY_KIND, inputs, f"tidy exceptions of {archive}/{suite}")


def judge_suite(context: Context, archive: str, suite: str) -> list[Verdict]:
    """Say of each exception of a suite whether it is still needed, the oldest first; raise NotFound."""
    with context.database.read() as tx:
        row, exceptions = get_suite(tx, archive, suite), list_exceptions(tx, archive, suite)
    here = State(f"{archive}/{suite}", archive, "", [root_of(context, row)])
    return [_judged(one, here, context) for one in exceptions]


def tidy_suite(context: Context, archive: str, suite: str, actor: str, *, dry_run: bool = False) -> list[Verdict]:
    """End the exceptions of a suite that nobody needs, and take out what the base has by now; give those that ended.

    Of a read-only suite nothing is taken out, and what would have to be stays an exception.
    """
    with context.database.read() as tx:
        before = get_suite(tx, archive, suite)
    over = [one for one in judge_suite(context, archive, suite) if not one.is_needed]
    over = [one for one in over if not (one.takes_out and before.is_sealed)]
    if dry_run or not over:
        return over
    root = root_of(context, before)
    edits: dict[str, dict[str, Stanzas]] = {}
    for one in over:
        if one.takes_out:
            for list_name, names in without_source(root, one.row.source, context.objects.read).items():
                edits.setdefault(list_name, {}).update(names)
    after = edited(context, root, edits, {}, root.tombstones) if edits else root
    why = "; ".join(f"{one.row.name}: {one.why}" for one in over)
    with context.write() as tx:
        if after.revision != before.revision:
            move(tx, before, after.revision, SuiteChange("tidy", why, actor), context)
        for one in over:
            end_exception(tx, one.row.id, one.why, context.now())
    return over


def packages_of_exceptions(context: Context, rows: Sequence[FreezeException]) -> dict[int, list[str]]:
    """Name the binary packages of exceptions, as their suites have them now; by number."""
    found: dict[int, list[str]] = {}
    for row in rows:
        entries = open_state(context, f"{row.archive}/{row.suite}").entries(row.source, context)
        found[row.id] = [
            entry.name for entry in entries if not is_source(entry) and built_from(entry.stanza)[1] == row.version
        ]
    return found


def _judged(row: FreezeException, here: State, context: Context) -> Verdict:
    name, state = base_of(row, context)
    below = None if state is None else state.version_of(row.source, context)
    return judge_exception(row, here.version_of(row.source, context), below, name)
