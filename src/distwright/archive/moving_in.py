"""Move another program's archive into one of ours: each suite whole or not at all, every file verified, nothing of theirs changed.

A suite is taken in one transaction; whatever breaks off, the same command again goes on where it was: files that became objects are
not copied again, and packages that a suite has already are not even read.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distwright.archive.changing import SuiteChange, edited, hold_suite, move, refuse_other_content
from distwright.archive.configured import refuse_codename
from distwright.archive.merging import Difference, with_stones
from distwright.archive.moved_config import archive_lists
from distwright.archive.moving_suite import Batch
from distwright.archive.spool import Spool
from distwright.archive.theirs import Listing, TheirArchive
from distwright.archive.tree import EMPTY_ROOT, parse_root
from distwright.errors import BadInput, BadUsage, NotFound, Refused, listed, quoted
from distwright.jobs.step import Context
from distwright.model.digests import Sha256
from distwright.model.names import our_name
from distwright.model.records import SuiteState
from distwright.store.locks import locked
from distwright.store.suites import find_suite, insert_suite

_PROBLEMS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What is wanted. names: theirs -> ours, "" leaves a suite out. like: the configured suite that new ones follow."""

    archive: str
    actor: str
    reason: str
    names: Mapping[str, str]
    like: str = ""
    link: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class MovedSuite:
    """What became of a suite. is_new: it was made. added, unchanged: packages; unchanged ones were there already."""

    theirs: str
    ours: str
    revision: Sha256
    is_new: bool
    added: int
    unchanged: int


@contextmanager
def scratch_folder(context: Context) -> Iterator[Path]:
    """Give an empty folder for what is read of theirs; one that was left by an import that broke off goes first.

    Only one import at a time has it: a second one waits.
    """
    folder = context.paths.cache / "moving-in"
    with locked(context.paths.lock("moving-in")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def move_in(context: Context, theirs: TheirArchive, request: MoveRequest) -> tuple[MovedSuite, ...]:
    """Take all suites of an archive in.

    Versions that they no longer have, older than theirs, go; what is newer here stays. Raises Refused naming everything that is
    wrong: at once for what the configuration lacks; for packages when all suites were tried, those without fault being in by then.
    """
    wanted = _named(theirs, request)
    done: list[MovedSuite] = []
    problems: list[str] = []
    with Spool(context.paths.cache / "import") as spool:
        listings = {}
        for number, (their_name, _) in enumerate(wanted, start=1):
            suite = next(suite for suite in theirs.suites if suite.name == their_name)
            listings[their_name] = Listing(suite, spool)
            context.progress("read what they have", number, len(wanted), "suites")
        if wanted and not any(listing.names for listing in listings.values()):
            raise NotFound(
                f"{', '.join(theirs for theirs, _ in wanted)} in {request.reason} have no package, so there is nothing to move in",
                hint="look at it there: their database may be damaged, or this may be another place",
            )
        _refuse_missing(context, request.archive, list(listings.values()))
        rows = {ours: _row(context, request, ours) for _, ours in wanted}
        for their_name, ours in wanted:
            try:
                done.append(_move_suite(context, request, listings[their_name], *rows[ours]))
            except (_Faulty, BadInput, Refused) as error:
                problems += [f"{ours}: {problem}" for problem in getattr(error, "problems", (error.message,))]
    if problems:
        shown = problems[:_PROBLEMS_SHOWN]
        if len(problems) > _PROBLEMS_SHOWN:
            shown.append(f"and {len(problems) - _PROBLEMS_SHOWN} more")
        stay = f"moved in: {', '.join(moved.ours for moved in done)}; not these" if done else "nothing was moved in"
        raise Refused(
            f"{stay}:\n{listed(shown)}", hint="correct or remove these there, then run the same command again"
        )
    return tuple(done)


class _Faulty(Refused):
    """A suite cannot be taken in."""

    def __init__(self, suite: str, problems: Sequence[str]) -> None:
        super().__init__(f"{suite} has {len(problems)} problems", hint="correct them there")
        self.problems = tuple(problems)


def _named(theirs: TheirArchive, request: MoveRequest) -> list[tuple[str, str]]:
    """Say which of their suites becomes which of ours; raise BadUsage naming all names that cannot be."""
    known = {suite.name for suite in theirs.suites}
    problems = [f"they have no suite {quoted(name)}" for name in request.names if name not in known]
    found: list[tuple[str, str]] = []
    for suite in theirs.suites:
        ours = request.names.get(suite.name, suite.name)
        if not ours:
            continue
        try:
            our_name(ours, "suite")
        except BadInput as error:
            problems.append(f"{error.message}: name it with --suite {suite.name}=NAME")
        if ours in (name for _, name in found):
            problems.append(f"two of their suites would become {ours}: name one with --suite {suite.name}=NAME")
        found.append((suite.name, ours))
    if problems:
        raise BadUsage(
            f"not every suite has its place:\n{listed(problems)}",
            hint="add --suite THEIRS=OURS, or THEIRS= to leave it out",
        )
    return found


def _refuse_missing(context: Context, archive: str, listings: Sequence[Listing]) -> None:
    """Raise Refused with what the configuration must say first."""
    table = context.config.archives[archive]
    components = sorted({name for listing in listings for name in listing.components} - set(table.components))
    architectures = sorted({name for listing in listings for name in listing.architectures} - set(table.architectures))
    if components or architectures:
        missing = [*(f"component {name}" for name in components), *(f"architecture {name}" for name in architectures)]
        text = archive_lists(table.components, table.architectures, components, architectures)
        raise Refused(
            f"archive {archive} does not have what they have:\n{listed(missing)}\nset in [archive.{archive}]:\n{text.rstrip()}",
            hint="write it into the configuration, then: distwright config apply COMMIT --repo REPO",
        )


def _row(context: Context, request: MoveRequest, ours: str) -> tuple[SuiteState, bool]:
    """Give the suite, and whether it is still to be made."""
    with context.database.read() as tx:
        row = find_suite(tx, request.archive, ours)
    if row is not None:
        return row, False
    refuse_codename(context.config, request.archive, ours)
    configured = [name for name, table in context.config.suites.items() if table.archive == request.archive]
    like = request.like or (ours if ours in configured else "") or (configured[0] if len(configured) == 1 else "")
    if like not in configured:
        what = f"{quoted(like)} is not a configured suite" if like else "there is not one configured suite"
        raise BadUsage(
            f"suite {ours} is new, and {what} of {request.archive} that it could follow",
            hint="add --like SUITE, or --print-config for tables of their suites",
        )
    follows = "" if like == ours else like
    return SuiteState(request.archive, ours, "base", EMPTY_ROOT.revision, context.now(), follows=follows), True


def _move_suite(
    context: Context,
    request: MoveRequest,
    listing: Listing,
    before: SuiteState,
    is_new: bool,  # noqa: FBT001  # as `_row` gave it
) -> MovedSuite:
    with Spool(context.paths.cache / "import") as spool:
        return _move_spooled(context, request, listing, before, spool, is_new=is_new)


def _move_spooled(
    context: Context, request: MoveRequest, listing: Listing, before: SuiteState, spool: Spool, *, is_new: bool
) -> MovedSuite:
    theirs = listing.suite.name
    if before.is_sealed:
        raise _Faulty(before.name, ["it is read-only"])
    root = EMPTY_ROOT if is_new else parse_root(context.objects.read(before.revision))
    batch = Batch(context, spool, root, link=request.link, dry_run=request.dry_run)
    batch.take_all(listing, f"move in {theirs}")
    with context.database.read() as tx:
        names = list(batch.names.items())
        try:
            refuse_other_content(tx, request.archive, names)
        except Refused as error:
            batch.problems += [line.strip() for line in error.message.splitlines()]
    if batch.problems:
        raise _Faulty(before.name, batch.problems)
    if request.dry_run or not (is_new or batch.lists):
        return MovedSuite(theirs, before.name, before.revision, is_new, batch.added, batch.unchanged)
    changes = [Difference(*place, "", version) for place, version in batch.newest.items()]
    stones = with_stones(root, changes) if root.tombstones else ()
    context.objects.put(EMPTY_ROOT.to_bytes())
    after = edited(context, root, batch.lists, batch.texts, stones)
    with context.write() as tx:
        refuse_other_content(tx, request.archive, names)
        if is_new:
            insert_suite(tx, before)
            hold_suite(tx, before.archive, before.name, before.revision, context.now())
        move(tx, before, after.revision, SuiteChange("import", request.reason, request.actor), context, names)
    return MovedSuite(theirs, before.name, after.revision, is_new, batch.added, batch.unchanged)
