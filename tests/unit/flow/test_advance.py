"""Advancing the flow: each event once, in order; what follows is written together with how far we are."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.unit.images.test_resolve import FILES, installation
from tests.worlds.installation import CONFIG
from tests.worlds.repos import changelog, commit
from tests.worlds.times import NOW

from distwright.archive.resolve import Ground, publish_order
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.errors import DistwrightError, NotFound, OutOfSpace, Refused
from distwright.flow.advance import OUR_FAULT_RETRY, READER, advance, ask_again, drop, unanswered
from distwright.flow.view import View
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.repos.pushes import take_in_pushes
from distwright.repos.spool import NOTHING
from distwright.store.database import Database
from distwright.store.events import append_event, cursor_of
from distwright.store.jobs import list_jobs
from distwright.store.memory import MemoryObjects
from distwright.store.paths import StatePaths
from distwright.store.refs import AppliedConfig, keep_applied_config

WITHOUT_IMAGES = CONFIG[: CONFIG.index("[image.petrel]")]
NEXT = '[suite.next]\narchive = "petrel"\n'
ONE, TWO = sha256_of(b"one"), sha256_of(b"two")
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def config() -> Config:
    return parse_config([("distwright.toml", WITHOUT_IMAGES)])


@pytest.fixture
def view(config: Config) -> View:
    return _view(config)


def test_nothing_new_is_nothing_to_do(database: Database, view: View) -> None:
    assert advance(database, view, NOW, _deaf) == 0


def test_event_becomes_a_job_that_names_its_cause_and_its_configuration(
    database: Database, view: View, config: Config
) -> None:
    with database.write() as tx:
        keep_applied_config(tx, AppliedConfig("c0ffee", sha256_of(b""), NOW))
    number = _happened(database, _changed("devel", ONE))
    hints: list[str] = []
    assert advance(database, view, LATER, hints.append) == 1
    order = publish_order(config, "devel", ONE, ["hello"], NOW)
    (job,) = _jobs(database)
    assert (job[0], job[1:]) == (order.digest, (number, "c0ffee"))
    assert (_cursor(database), hints, _waiting(database)) == (number, ["local"], [])


def test_event_is_read_once(database: Database, view: View) -> None:
    _happened(database, _changed("devel", ONE))
    assert [advance(database, view, NOW, _deaf) for _ in range(2)] == [1, 0]
    assert len(_jobs(database)) == 1


def test_events_become_jobs_in_their_order(database: Database, view: View, config: Config) -> None:
    revisions = [sha256_of(bytes([number])) for number in range(20)]
    for revision in revisions:
        _happened(database, _changed("devel", revision))
    assert advance(database, view, NOW, _deaf) == 20
    wanted = [publish_order(config, "devel", revision, ["hello"], NOW).digest for revision in revisions]
    assert [digest for digest, *_ in _jobs(database)] == wanted


def test_event_that_asks_for_what_was_done_already_makes_no_second_job(database: Database, view: View) -> None:
    _happened(database, _changed("devel", ONE))
    _happened(database, _changed("devel", ONE))
    assert advance(database, view, NOW, _deaf) == 2
    assert [cause for _, cause, _ in _jobs(database)] == [1]


def test_event_without_a_rule_is_passed_by(database: Database, view: View) -> None:
    number = _happened(database, _applied())
    assert advance(database, view, NOW, _deaf) == 1
    assert (_jobs(database), _waiting(database), _cursor(database)) == ([], [], number)


def test_event_that_cannot_be_acted_on_waits_with_its_reason(database: Database, view: View) -> None:
    waiting = _happened(database, _changed("next", ONE))
    _happened(database, _changed("devel", TWO))
    assert advance(database, view, NOW, _deaf) == 2
    assert _waiting(database) == [(waiting, "the configuration no longer has 'next'")]
    assert [cause for _, cause, _ in _jobs(database)] == [2], "the others go on"


def test_waiting_event_is_left_alone_until_something_new_happens(database: Database, view: View) -> None:
    _happened(database, _changed("next", ONE))
    advance(database, view, NOW, _deaf)
    advance(database, _view(_with_next()), NOW, _deaf)
    assert _jobs(database) == []


def test_waiting_event_is_acted_on_when_it_can_be_and_waits_no_more(database: Database, view: View) -> None:
    waiting = _happened(database, _changed("next", ONE))
    advance(database, view, NOW, _deaf)
    _happened(database, _applied())
    assert advance(database, _view(_with_next()), NOW, _deaf) == 1
    order = publish_order(_with_next(), "next", ONE, ["hello"], NOW)
    assert (_jobs(database), _waiting(database)) == ([(order.digest, waiting, None)], [])
    assert _cursor(database) == 2, "the old event does not move the reader back"


def test_reason_of_a_waiting_event_is_the_newest_one(database: Database, view: View) -> None:
    body: dict[str, Json] = {**_published("devel").body, "added": ["hello"]}
    waiting = _happened(database, Event(EventKind.SUITE_PUBLISHED, NOW, "x", body))
    advance(database, view, NOW, _deaf)
    ((number, reason),) = _waiting(database)
    assert (number, "archive debian" in reason) == (waiting, True), reason
    elsewhere = WITHOUT_IMAGES.replace('from = ["debian/stable"]', 'from = ["petrel/devel"]')
    _happened(database, _applied())
    advance(database, _view(parse_config([("d.toml", elsewhere)])), NOW, _deaf)
    ((number, newer),) = _refused(database)
    assert (number, "debian" in newer, "suite devel" in newer) == (waiting, False, True), newer
    assert _waiting(database) == []


def test_bug_in_a_rule_stops_neither_the_flow_nor_the_event(database: Database, config: Config) -> None:
    """One event that no rule expected must not hold up all that come after it, for ever."""
    poison = _happened(database, _built())
    _happened(database, _changed("devel", ONE))
    broken, mended = _view(config, lambda _: b"\xff no text"), _view(config)
    assert advance(database, broken, NOW, _deaf) == 2
    ((number, reason),) = _refused(database)
    assert (number, reason.partition(":")[0]) == (poison, "a bug of distwright in rule accept_what_was_built")
    assert [cause for _, cause, _ in _jobs(database)] == [2]
    _happened(database, _applied())
    advance(database, mended, LATER, _deaf)
    assert [number for number, _ in _refused(database)] == [poison], "nobody has asked"
    ask_again(database, poison, LATER)
    advance(database, mended, LATER, _deaf)
    assert ([cause for _, cause, _ in _jobs(database)], _refused(database), _waiting(database)) == ([2, 1], [], [])


def test_refusal_is_kept_once_and_its_rule_is_not_run_again_for_every_event(database: Database, config: Config) -> None:
    asked: list[str] = []

    def certificate(credential: str) -> bytes:
        asked.append(credential)
        raise Refused("the key is gone", hint="restore keys/")

    refused, view = _happened(database, _built()), _view(config, certificate)
    advance(database, view, NOW, _deaf)
    for event in (_changed("devel", ONE), _applied(), _recorded()):
        _happened(database, event)
        advance(database, view, LATER, _deaf)
    assert (asked, _refused(database)) == (["builder"], [(refused, "the key is gone (restore keys/)")])


def test_refused_event_can_be_given_up_and_one_that_is_not_open_cannot(database: Database, config: Config) -> None:
    refused = _happened(database, _built())
    advance(database, _view(config, lambda _: b"\xff no text"), NOW, _deaf)
    drop(database, refused)
    assert _refused(database) == []
    with pytest.raises(NotFound, match=f"event {refused} neither waits nor is refused"):
        drop(database, refused)
    with pytest.raises(NotFound, match=f"event {refused} neither waits nor is refused"):
        ask_again(database, refused, NOW)


def test_fault_of_this_machine_is_no_refusal_and_tried_again_after_minutes(database: Database, config: Config) -> None:
    answers: list[DistwrightError | None] = [OutOfSpace("the disk is full", hint="free some"), None]

    def certificate(credential: str) -> bytes:
        if (error := answers.pop(0)) is not None:
            raise error
        return b"certificate"

    number, view = _happened(database, _built()), _view(config, certificate)
    advance(database, view, NOW, _deaf)
    assert _waiting(database) == [(number, "the disk is full (free some)")]
    _happened(database, _changed("devel", ONE))
    advance(database, view, NOW + OUR_FAULT_RETRY / 2, _deaf)
    assert len(answers) == 1, "not before its time"
    assert advance(database, view, NOW + OUR_FAULT_RETRY, _deaf) == 0
    assert ([cause for _, cause, _ in _jobs(database)], _waiting(database)) == ([2, number], [])


def test_push_of_a_changelog_dated_ahead_is_acted_on_at_that_time_though_nothing_else_happens(tmp_path: Path) -> None:
    context = installation(tmp_path)
    files = {**FILES, "debian/changelog": changelog("live", "2", NOW + timedelta(minutes=1))}
    commit(context.paths, "live", files)
    take_in_pushes(context.database, context.paths, ["live"], NOW)
    places = [
        (
            advance(context.database, View(context.ground(), _certificate), context.clock, _deaf),
            len(_jobs(context.database)),
        )
        for context.clock in (NOW, NOW + timedelta(seconds=30), NOW + timedelta(minutes=1))
    ]
    assert [jobs for _, jobs in places] == [0, 0, 1]
    assert _waiting(context.database) == []


def test_two_pushes_of_an_image_between_two_looks_are_two_images(tmp_path: Path) -> None:
    context = installation(tmp_path)
    spool = context.paths.spool
    heads = []
    for number in (1, 2):
        heads.append(commit(context.paths, "live", {**FILES, "debian/changelog": changelog("live", str(number))}))
        before = heads[-2] if number > 1 else NOTHING
        (spool / f"{number}.push").write_text(f"live\npusher ada\n{before} {heads[-1]} refs/heads/main\n")
    take_in_pushes(context.database, context.paths, ["live"], NOW)
    advance(context.database, View(context.ground(), _certificate), NOW, _deaf)
    with context.database.read() as tx:
        images = [str(job.inputs["commit"]) for job in reversed(list_jobs(tx)) if job.kind == "image.build"]
    assert sorted(images) == sorted(heads)


def test_waiting_event_that_another_process_dealt_with_meanwhile_is_not_put_back(
    database: Database, view: View
) -> None:
    waiting = _happened(database, _changed("next", ONE))
    advance(database, view, NOW, _deaf)
    _happened(database, _changed("devel", TWO))
    _happened(database, _applied())

    def overtake(_pool: str) -> None:
        advance(database, _view(_with_next()), NOW, _deaf)

    advance(database, view, NOW, overtake)
    assert ([cause for _, cause, _ in _jobs(database)], _waiting(database)) == ([2, waiting], [])


def test_order_and_place_are_written_together_or_not_at_all(database: Database, view: View) -> None:
    _happened(database, _changed("devel", ONE))
    with database.write() as tx:
        tx.connection.execute(
            sa.text("CREATE TRIGGER no BEFORE INSERT ON cursors BEGIN SELECT RAISE(ABORT, 'killed'); END")
        )
    with pytest.raises(sa.exc.IntegrityError, match="killed"):
        advance(database, view, NOW, _deaf)
    assert (_jobs(database), _cursor(database)) == ([], 0)
    with database.write() as tx:
        tx.connection.execute(sa.text("DROP TRIGGER no"))
    assert advance(database, view, NOW, _deaf) == 1
    assert (len(_jobs(database)), _cursor(database)) == (1, 1)


def test_flow_that_was_ended_between_two_events_goes_on_with_the_second(database: Database, view: View) -> None:
    _happened(database, _changed("devel", ONE))
    _happened(database, _changed("devel", TWO))
    with pytest.raises(KeyboardInterrupt):
        advance(database, view, NOW, _interrupt)
    assert (len(_jobs(database)), _cursor(database)) == (1, 1)
    assert advance(database, view, NOW, _deaf) == 1
    assert [cause for _, cause, _ in _jobs(database)] == [1, 2]


def test_event_that_another_process_dealt_with_meanwhile_is_not_dealt_with_again(
    database: Database, view: View
) -> None:
    """Two processes advance at once; the slower one must neither move the place back nor judge by what it knew before."""
    for revision in (ONE, TWO):
        _happened(database, _changed("devel", revision))
    _happened(database, _applied())
    newer = _view(parse_config([("d.toml", WITHOUT_IMAGES.replace('label = "Petrel"', 'label = "Storm petrel"'))]))
    places: list[int] = []

    def overtake(_pool: str) -> None:
        if not places:
            advance(database, newer, NOW, _deaf)
        places.append(_cursor(database))

    advance(database, view, NOW, overtake)
    assert ([cause for _, cause, _ in _jobs(database)], places, _cursor(database)) == ([1, 2], [3], 3)


def test_more_events_than_are_read_at_once_are_all_dealt_with(database: Database, view: View) -> None:
    for _ in range(501):
        _happened(database, _applied())
    counts = [advance(database, view, NOW, _deaf) for _ in range(3)]
    assert (counts, _cursor(database)) == ([500, 1, 0], 501)


def _view(config: Config, certificate: Callable[[str], bytes] = lambda credential: credential.encode()) -> View:
    return View(Ground(config, MemoryObjects(), StatePaths(Path("/nowhere")), NOW), certificate)


def _with_next() -> Config:
    return parse_config([("distwright.toml", WITHOUT_IMAGES + NEXT)])


def _deaf(_pool: str) -> None:
    """Hear no hint."""


def _interrupt(_pool: str) -> None:
    raise KeyboardInterrupt


def _changed(suite: str, revision: Sha256) -> Event:
    body: dict[str, Json] = {
        "archive": "petrel", "suite": suite, "before": str(TWO), "revision": str(revision), "added": ["hello"]
    }  # fmt: skip
    return Event(EventKind.SUITE_CHANGED, NOW, suite, body)


def _published(suite: str) -> Event:
    body: dict[str, Json] = {
        "archive": "petrel", "suite": suite, "revision": str(ONE), "publication": 1, "tree": str(TWO), "added": []
    }  # fmt: skip
    return Event(EventKind.SUITE_PUBLISHED, NOW, suite, body)


def _built() -> Event:
    body: dict[str, Json] = {
        "archive": "petrel", "suite": "devel", "source": "greeter", "version": "1.0", "changes": str(ONE),
        "files": {"greeter_1.0.dsc": str(TWO)},
    }  # fmt: skip
    return Event(EventKind.BUILD_FINISHED, NOW, "greeter", body)


def _certificate(_credential: str) -> bytes:
    return b"certificate"


def _recorded() -> Event:
    body: dict[str, Json] = {"archive": "debian", "serial": "2024011001", "snapshot": str(ONE)}
    return Event(EventKind.SNAPSHOT_RECORDED, NOW, "debian/2024011001", body)


def _applied() -> Event:
    return Event(EventKind.CONFIG_APPLIED, NOW, "c0ffee", {"commit": "c0ffee", "config": str(ONE)})


def _happened(database: Database, event: Event) -> int:
    with database.write() as tx:
        return append_event(tx, event)


def _jobs(database: Database) -> list[tuple[Sha256, int | None, str | None]]:
    with database.read() as tx:
        return [(job.digest, job.cause, job.config_commit) for job in reversed(list_jobs(tx))]


def _cursor(database: Database) -> int:
    with database.read() as tx:
        return cursor_of(tx, READER)


def _waiting(database: Database) -> list[tuple[int, str]]:
    with database.read() as tx:
        return [(row.event.number, row.reason) for row in unanswered(tx) if not row.is_refused]


def _refused(database: Database) -> list[tuple[int, str]]:
    with database.read() as tx:
        return [(row.event.number, row.reason) for row in unanswered(tx) if row.is_refused]
