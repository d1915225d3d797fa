"""Ask for a culprit: from what a person types, and from what is known, to a good and a bad state."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distwright.archive.resolve import Ground, NotReadyError
from distwright.checks.culprit import check_ends, holds_of_line, question
from distwright.checks.history import Tried, break_of, last_good, on_the_way, tried_of
from distwright.checks.inquiries import ask
from distwright.checks.lines import Serials, made_of_table
from distwright.checks.search import CULPRIT
from distwright.checks.targets import Target, find_target, used_archives
from distwright.config.tables_archive import UpstreamArchive
from distwright.errors import BadUsage, NotFound, quoted
from distwright.store.archives import find_snapshot, list_snapshots, newest_snapshot
from distwright.store.database import Database, Transaction
from distwright.tools.git import refs, resolve
from distwright.tools.git_history import first_parents

_SERIAL = re.compile(r"[0-9]{10}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person says of one end. words: serials and revisions of git. archive: whose serials they are, if that is not clear."""

    words: Sequence[str] = ()
    archive: str | None = None


@dataclass(frozen=True, slots=True)
class _Named:
    """An end as far as it is named. serials: archive -> serial. commit: "" if no commit is named."""

    serials: Mapping[str, str]
    commit: str


def ask_culprit(
    database: Database, ground: Ground, source: str, good: Wanted, bad: Wanted, actor: str,
    environment: str | None = None,
) -> int:  # fmt: skip
    """Ask what broke a package of ours; give the inquiry's number.

    What is not named: bad is the first state since when it fails, or what is newest; good is the last one before that. An end of
    which a serial is named alone has the same commit as the other, and other archives as they were at the time; one of which a
    commit is named alone has the same serials. Raises NotFound if nothing is known to
    have been good, BadInput, BadUsage, NotReadyError.
    """
    target = find_target(database, ground, source, environment)
    archives = [
        name
        for name in dict.fromkeys(used_archives(ground, target.environment))
        if isinstance(ground.config.archives[name], UpstreamArchive)
    ]
    named_bad, named_good = (_named(database, ground, target, archives, wanted) for wanted in (bad, good))
    made = made_of_table(ground.config, target.environment)
    with database.read() as tx:
        tried = [one for one in tried_of(tx, ground.config, source, made) if one.serials.keys() == set(archives)]
    first = _failing(on_the_way(ground, target.repo, tried, _head(ground, target)), target) if not bad.words else None
    newest = target.commit if first is None else first.trial.commit
    tried = on_the_way(ground, target.repo, tried, named_bad.commit or newest)
    broke = None if first is None else break_of(tried, first)
    with database.read() as tx:
        if broke is not None:
            bad_end = (broke.bad.serials, broke.bad.trial.commit)
        else:
            bad_end = (
                {**_newest(tx, archives), **_at_time(tx, archives, named_bad.serials)},
                named_bad.commit or target.commit,
            )
        if good.words:
            then = _at_time(tx, archives, named_good.serials)
            older = {archive: min(serial, bad_end[0][archive]) for archive, serial in then.items()}
            serials = {**bad_end[0], **older, **named_good.serials}
            good_end: tuple[Serials, str] = (serials, named_good.commit or bad_end[1])
        else:
            known = broke.good if broke is not None else last_good(tried, *bad_end)
            if known is None:
                raise NotFound(
                    f"no build of {source} that ended well is known",
                    hint=f"distwright package bisect {source} --good SERIAL",
                )
            good_end = (known.serials, known.trial.commit)
        holds = holds_of_line(tx, good_end[0], bad_end[0])
    check_ends(ground, target, good_end, bad_end)
    return ask(database, CULPRIT, source, question(target, good_end, bad_end), actor, ground.now, holds=holds)


def _head(ground: Ground, target: Target) -> str:
    """Give the newest commit that leads on from what a suite has of a package."""
    if not target.repo:
        return ""
    where, branch = ground.paths.repo(target.repo), ground.config.repos[target.repo].default_branch
    head = refs(where).get(f"refs/heads/{branch}", target.commit)
    return head if target.commit in first_parents(where, head) else target.commit


def _failing(tried: Sequence[Tried], target: Target) -> Tried | None:
    """Find the newest failure of the package as it is now, or else of any version of it that nothing good came after."""
    mine = [
        one for one in tried if (one.trial.version, one.trial.commit) == (target.version, target.commit) and one.is_bad
    ]
    newest = next((one for one in tried if one.is_good or one.is_bad), None)
    others = [newest] if newest is not None and newest.is_bad else []
    return max(mine or others, key=lambda one: sorted(one.serials.items()), default=None)


def _named(database: Database, ground: Ground, target: Target, archives: Sequence[str], wanted: Wanted) -> _Named:
    if wanted.archive is not None and wanted.archive not in archives:
        raise BadUsage(
            f"{target.source} is not built with archive {quoted(wanted.archive)}",
            hint=f"name one: {', '.join(archives)}",
        )
    serials: dict[str, str] = {}
    commit = ""
    for word in wanted.words:
        if _SERIAL.fullmatch(word):
            serials[_archive_of(database, word, [wanted.archive] if wanted.archive else archives)] = word
        elif not target.repo:
            raise BadUsage(
                f"{target.source} was uploaded: {quoted(word)} is no serial", hint="distwright snapshot list"
            )
        else:
            commit = resolve(ground.paths.repo(target.repo), word)
    return _Named(serials, commit)


def _archive_of(database: Database, serial: str, archives: Sequence[str]) -> str:
    with database.read() as tx:
        found = [archive for archive in archives if find_snapshot(tx, archive, serial) is not None]
    if not found:
        raise NotFound(
            f"{' or '.join(archives)} has no snapshot {serial}", hint=f"distwright snapshot list {archives[0]}"
        )
    if len(found) > 1:
        raise BadUsage(f"serial {serial} is of archives {', '.join(found)}", hint=f"name one: --archive {found[0]}")
    return found[0]


def _newest(tx: Transaction, archives: Sequence[str]) -> dict[str, str]:
    serials: dict[str, str] = {}
    for archive in archives:
        row = newest_snapshot(tx, archive)
        if row is None:
            raise NotReadyError(f"archive {archive} has no snapshot yet", hint=f"distwright archive record {archive}")
        serials[archive] = str(row.serial)
    return serials


def _at_time(tx: Transaction, archives: Sequence[str], serials: Serials) -> dict[str, str]:
    """Complete a state by what was newest of other archives when the youngest of these snapshots was taken."""
    rows = [row for archive, serial in serials.items() if (row := find_snapshot(tx, archive, serial)) is not None]
    if not rows:
        return {}
    moment = max(row.taken_at for row in rows)
    found = dict(serials)
    for archive in archives:
        if archive not in found:
            known = [row for row in list_snapshots(tx, archive) if row.taken_at <= moment]
            found |= {archive: str(known[0].serial)} if known else {}
    return found
