"""History of a package: with which serials it was tried, since when it fails, and what was the last good state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distwright.archive.resolve import Ground
from distwright.checks.filing import BUILDS
from distwright.checks.lines import MadeOf, Serials, is_before, made_of, recipe_of
from distwright.config.model import Config
from distwright.config.tables_archive import UpstreamArchive
from distwright.model.digests import Sha256
from distwright.model.outcomes import Outcome
from distwright.model.records import Trial
from distwright.store.archives import find_snapshot_by_digest
from distwright.store.database import Transaction
from distwright.store.jobs import find_job
from distwright.store.trials import list_trials
from distwright.tools.git_history import first_parents

BAD = (Outcome.FAILED, Outcome.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial whose state has a name: archive -> serial."""

    trial: Trial
    serials: Serials

    @property
    def is_good(self) -> bool:
        """Say whether all was well."""
        return self.trial.outcome is Outcome.OK

    @property
    def is_bad(self) -> bool:
        """Say whether the package failed."""
        return self.trial.outcome in BAD


@dataclass(frozen=True, slots=True)
class Break:
    """Where a package stopped building. good: the last good state before that, if one is known; bad: the first bad one."""

    good: Tried | None
    bad: Tried


def tried_of(tx: Transaction, config: Config, source: str, made: MadeOf) -> list[Tried]:
    """List the builds of a source that were tried in an environment, newest first, whose snapshots are all here still."""
    documents: dict[tuple[str, Sha256], str | None] = {}
    found = []
    for trial in list_trials(tx, BUILDS, source):
        job = find_job(tx, trial.job)
        if job is None or made_of(recipe_of(job.inputs)) != made:
            continue
        serials: dict[str, str | None] = {}
        for name, document in trial.states.items():
            archive = name.partition("/")[0]
            if not isinstance(config.archives.get(archive), UpstreamArchive):
                continue
            if (archive, document) not in documents:
                row = find_snapshot_by_digest(tx, archive, document)
                documents[archive, document] = None if row is None else str(row.serial)
            serials[archive] = documents[archive, document]
        named = {archive: serial for archive, serial in serials.items() if serial is not None}
        if named.keys() == serials.keys():
            found.append(Tried(trial, named))
    return found


def on_the_way(ground: Ground, repo: str, tried: Iterable[Tried], commit: str) -> list[Tried]:
    """Choose what was tried of the commits that lead to this one along first parents: a branch beside them says nothing of it.

    repo: "" for a source that was uploaded, all of whose versions count.
    """
    line = frozenset(first_parents(ground.paths.repo(repo), commit)) if repo else {""}
    return [one for one in tried if one.trial.commit in line]


def break_of(tried: Sequence[Tried], failing: Tried) -> Break:
    """Say since when what fails in a state has failed (pure). tried: newest first.

    The last good state is the newest of those that are not newer than it; of the same commit, if there is one. The first bad one
    is the oldest between both.
    """
    good = last_good(tried, failing.serials, failing.trial.commit)
    same = [one for one in tried if one.is_bad and _is_same(one, failing) and is_before(one.serials, failing.serials)]
    after = [one for one in same if good is None or is_before(good.serials, one.serials)]
    return Break(good, min((failing, *after), key=_moment))


def last_good(tried: Iterable[Tried], serials: Serials, commit: str) -> Tried | None:
    """Find the newest state that was good and is not newer than these serials; of the same commit, if there is one."""
    good = [one for one in tried if one.is_good and is_before(one.serials, serials)]
    return max(good, key=lambda one: (one.trial.commit == commit, _moment(one), one.trial.id), default=None)


def _is_same(one: Tried, other: Tried) -> bool:
    return (one.trial.version, one.trial.commit) == (other.trial.version, other.trial.commit)


def _moment(one: Tried) -> tuple[str, ...]:
    return tuple(serial for _, serial in sorted(one.serials.items()))
