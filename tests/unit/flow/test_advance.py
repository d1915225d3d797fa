"""Advancing the flow: each event once, in order; what follows is written together with how far we are."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.worlds.installation import CONFIG
from tests.worlds.times import NOW

from distwright.archive.resolve import Ground, publish_order
from distwright.config.load import parse_config
from distwright.config.model import Config
from distwright.flow.advance import READER, advance, waiting_reasons
from distwright.flow.rules import View
from distwright.model.digests import Json, Sha256, sha256_of
from distwright.model.events import Event, EventKind
from distwright.store.database import Database
from distwright.store.events import append_event, cursor_of
from distwright.store.jobs import list_jobs
from distwright.store.objects import MemoryObjects
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
    ((number, newer),) = _waiting(database)
    assert (number, "debian" in newer, "suite devel" in newer) == (waiting, False, True), newer


def test_bug_in_a_rule_stops_neither_the_flow_nor_the_event(database: Database, config: Config) -> None:
    """One event that no rule expected must not hold up all that come after it, for ever."""
    poison = _happened(database, _built())
    _happened(database, _changed("devel", ONE))
    broken, mended = _view(config, lambda _: b"\xff no text"), _view(config)
    assert advance(database, broken, NOW, _deaf) == 2
    ((number, reason),) = _waiting(database)
    assert (number, reason.partition(":")[0]) == (poison, "a bug of distwright in rule accept_what_was_built")
    assert [cause for _, cause, _ in _jobs(database)] == [2]
    _happened(database, _applied())
    advance(database, mended, NOW, _deaf)
    assert ([cause for _, cause, _ in _jobs(database)], _waiting(database)) == ([2, 1], [])


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
        return [(stored.number, reason) for stored, reason in waiting_reasons(tx)]
