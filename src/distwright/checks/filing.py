"""Filing: events of builds and comparisons (packages, images) become rows, by a reader of its own with a cursor of its own."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from distwright.builds.destinations import BUILD_KIND
from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.findings import FAILS, NOT_REPRODUCIBLE, builds_again, is_newer, see, see_no_more
from distwright.checks.image_rebuild import QUESTION
from distwright.checks.inquiries import ask_with
from distwright.checks.lines import made_of, made_of_table, recipe_of
from distwright.checks.rebuild import DIFFERS, SAME, UNKNOWN
from distwright.config.model import Config
from distwright.errors import BadInput
from distwright.jobs.step import Inputs
from distwright.model import plain
from distwright.model.digests import Json, Sha256
from distwright.model.events import EventKind, StoredEvent
from distwright.model.outcomes import Outcome
from distwright.model.records import FindingState, Job, KnownFinding, Trial
from distwright.store.archives import find_snapshot_by_digest, newest_snapshot
from distwright.store.database import Database, Transaction
from distwright.store.events import cursor_of, events_after, move_cursor
from distwright.store.findings import find_finding
from distwright.store.inquiries import list_inquiries
from distwright.store.jobs import attempts_of, find_job
from distwright.store.trials import set_trial

READER = "checks"
BUILDS = "builds"
BUILDS_MIXED = "builds-mixed"  # the same where packages are held back: no state that anybody has but a bisection
SWEEP = "sweep"
_OF_VERDICT: Mapping[str, Outcome] = {SAME: Outcome.OK, DIFFERS: Outcome.FAILED, UNKNOWN: Outcome.BROKEN}

_BUILT = (EventKind.BUILD_FINISHED, EventKind.BUILD_FAILED, EventKind.BUILD_TRIED)


def file_results(database: Database, config: Config, now: datetime) -> int:
    """Deal with all new events; give their number. Killed anywhere, nothing is filed twice."""
    count = 0
    while True:
        with database.read() as tx:
            new = events_after(tx, cursor_of(tx, READER))
        if not new:
            return count
        with database.write() as tx:
            for event in new:
                if cursor_of(tx, READER) >= event.number:
                    continue  # another process was faster
                _file(tx, config, event, now)
                move_cursor(tx, READER, event.number)
        count += len(new)


def _file(tx: Transaction, config: Config, stored: StoredEvent, now: datetime) -> None:
    """File one event. One whose body or job is not what ours are (another version wrote it) is passed over, not waited for."""
    kind, body = stored.event.kind, stored.event.body
    try:
        if kind in _BUILT:
            outcome = Outcome(plain.text(body, "outcome")) if "outcome" in body else Outcome.OK
            message = plain.text(body, "message") if "message" in body else ""
            trial = _trial(tx, stored, outcome, message)
        elif kind is EventKind.BUILD_COMPARED:
            _file_comparison(tx, stored, now)
        elif kind is EventKind.IMAGE_COMPARED:
            _file_image_comparison(tx, stored, now)
        elif kind is EventKind.SNAPSHOT_RECORDED:
            subject, serial = plain.text(body, "archive"), plain.text(body, "serial")
        if kind in _BUILT and trial is not None:
            _file_trial(tx, config, trial, now)
    except (BadInput, ValueError):
        return
    if kind is EventKind.SNAPSHOT_RECORDED:
        _sweep(tx, config, subject, serial, now)


def _file_comparison(tx: Transaction, stored: StoredEvent, now: datetime) -> None:
    """Open or close the finding of a suite and an architecture, if the build went into the suite: what is only tried is nobody's.

    Raises BadInput.
    """
    body = stored.event.body
    source, version, verdict = (plain.text(body, key) for key in ("source", "version", "verdict"))
    job = None if stored.event.job is None else find_job(tx, stored.event.job)
    if job is None or not plain.text(body, "archive") or verdict not in (SAME, DIFFERS):
        return
    key = f"{plain.text(body, 'suite')}/{recipe_of(job.inputs).architecture}"
    see_no_more(tx, NOT_REPRODUCIBLE, source, "", now)  # as older versions wrote it, of any suite
    _note_verdict(tx, source, key, version, body, now)


def _note_verdict(
    tx: Transaction, subject: str, key: str, version: str, body: Mapping[str, Json], now: datetime
) -> None:
    """Open or close what is known of two builds of a version, unless a later version was compared already."""
    known = find_finding(tx, NOT_REPRODUCIBLE, subject, key)
    if known is not None and known.state is not FindingState.FIXED and is_newer(known, version):
        return
    if body["verdict"] == SAME:
        see_no_more(tx, NOT_REPRODUCIBLE, subject, key, now)
    else:
        see(tx, NOT_REPRODUCIBLE, subject, key, body, now)


def _file_image_comparison(tx: Transaction, stored: StoredEvent, now: datetime) -> None:
    """Keep the answer to a second build of an image, and open or close the finding. Raises BadInput."""
    body = stored.event.body
    image, verdict, message = (plain.text(body, key) for key in ("image", "verdict", "message"))
    job = None if stored.event.job is None else find_job(tx, stored.event.job)
    if job is None or verdict not in _OF_VERDICT:
        return
    answer = Trial(
        id=0, question=QUESTION, subject=image, version=plain.text(body, "name"), commit=plain.text(body, "commit"),
        states=plain.digest_map(body, "states"), order=job.digest, job=job.id, outcome=_OF_VERDICT[verdict],
        message="" if verdict == SAME else message, took_s=_took_s(tx, job), at=stored.event.at,
    )  # fmt: skip
    set_trial(tx, answer)
    if verdict != UNKNOWN:
        root = EnvironmentRecipe.from_json(plain.mapping(job.inputs, "root"))
        version = plain.text(body, "version") if "version" in body else "0"
        evidence = {**body, "version": version}
        _note_verdict(tx, image, f"image/{root.architecture}", version, evidence, now)


def _file_trial(tx: Transaction, config: Config, trial: Trial, now: datetime) -> None:
    set_trial(tx, trial)
    job = find_job(tx, trial.job)
    if job is not None and trial.question == BUILDS and trial.outcome is Outcome.OK:
        rows = {name.partition("/")[0]: document for name, document in trial.states.items()}
        found = {archive: find_snapshot_by_digest(tx, archive, document) for archive, document in rows.items()}
        serials = {archive: str(row.serial) for archive, row in found.items() if row is not None}
        is_about = partial(_is_about, config, job, trial)
        builds_again(tx, FAILS, trial.subject, trial.version, serials, now, is_about)


def _is_about(config: Config, job: Job, trial: Trial, known: KnownFinding) -> bool:
    """Say whether a build tells of what a finding `environment/suite` is about: made in that environment, for that suite.

    It went there, or it was the very commit that failed. Of an environment that is configured no more, any will do.
    """
    environment, _, suite = known.key.partition("/")
    if plain.text(job.inputs, "suite") != suite:
        return False
    if environment in config.environments and made_of_table(config, environment) != made_of(recipe_of(job.inputs)):
        return False
    if job.kind == BUILD_KIND.name:
        table = config.suites.get(suite)
        return table is not None and table.archive == plain.text(job.inputs, "archive")
    same = (known.evidence.get("commit"), known.evidence.get("version")) == (trial.commit, trial.version)
    return trial.commit != "" and same


def _trial(tx: Transaction, stored: StoredEvent, outcome: Outcome, message: str) -> Trial | None:
    """Give the answer that a build's event is; None if no job of ours said it."""
    job = None if stored.event.job is None else find_job(tx, stored.event.job)
    if job is None:
        return None
    is_mixed = "pins" in plain.mapping(job.inputs, "environment")
    return Trial(
        id=0,
        question=BUILDS_MIXED if is_mixed else BUILDS,
        subject=plain.text(job.inputs, "source"),
        version=plain.text(job.inputs, "version"),
        commit=plain.text(job.inputs, "commit") if "commit" in job.inputs else "",
        states=states_of(job.inputs),
        order=job.digest,
        job=job.id,
        outcome=outcome,
        message=message,
        took_s=_took_s(tx, job),
        at=stored.event.at,
    )


def _took_s(tx: Transaction, job: Job) -> int:
    """Say how many seconds the last attempt of a job took; 0 if none has ended."""
    ended = [attempt for attempt in attempts_of(tx, job.id) if attempt.finished_at is not None]
    took = [(one.finished_at or one.started_at) - one.started_at for one in ended[-1:]]
    return int(took[0].total_seconds()) if took else 0


def states_of(inputs: Inputs) -> Mapping[str, Sha256]:
    """Say which states an order's environment has: `archive/suite` -> document."""
    shelf = plain.members(plain.mapping(inputs, "environment"), "shelf")
    entries = [plain.mapping({"entry": entry}, "entry") for entry in shelf]
    return {
        f"{plain.text(entry, 'archive')}/{plain.text(entry, 'suite')}": plain.digest(entry, "document")
        for entry in entries
        if "served_as" not in entry
    }


def _sweep(tx: Transaction, config: Config, archive: str, serial: str, now: datetime) -> None:
    """Have our packages tried against a new snapshot, if one of their environments uses it.

    Not if a newer one is here, or a sweep that has not begun yet: that one takes what is newest when it begins.
    """
    newest = newest_snapshot(tx, archive)
    if newest is None or newest.serial != serial or not is_swept(config, archive):
        return
    for row in list_inquiries(tx, kind=SWEEP, only_open=True, limit=None):
        if "archive" in row.asked and "targets" not in row.progress:
            return
    ask_with(tx, SWEEP, f"{archive}/{serial}", {"archive": archive, "serial": serial}, "", now)


def is_swept(config: Config, archive: str) -> bool:
    """Say whether packages of ours are built in an environment that uses an archive and wants sweeps."""
    named = {repo.environment for repo in config.repos.values() if repo.package}
    named |= {suite.environment for suite in config.suites.values()}
    return any(
        table.sweep and name in named and any(suite.partition("/")[0] == archive for suite in table.from_)
        for name, table in config.environments.items()
    )
