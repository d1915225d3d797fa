"""Rows about embargoes and readers, on every database."""

from datetime import timedelta

from tests.worlds.state import OpenAgain, count_order, placed
from tests.worlds.times import NOW

from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import get_job
from distwright.model.digests import sha256_of
from distwright.model.embargo import PUBLIC, Embargo
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import JobState, Outcome
from distwright.store.embargoes import (
    add_private_names,
    embargo_of_event,
    embargo_of_job,
    embargo_of_objects,
    list_embargoes,
    list_private_names,
    note_private_objects,
    open_job,
    set_embargo,
)
from distwright.store.events import append_event, newest_events
from distwright.store.jobs import list_jobs
from distwright.store.readers import ReaderRow, drop_reader, find_reader, keep_reader, list_readers
from distwright.store.tallies import count_by_state

BOTH = Embargo(frozenset({"repo/twin", "archive/vault"}))
DIGEST = sha256_of(b"a package")


def test_names_marks_and_lists_come_back_as_they_were_written(open_again: OpenAgain) -> None:
    database = open_again()
    for number in (1, 2):
        placed(database, count_order(number))
    done = claim_next(database, ["local"], "somebody", NOW)
    assert done is not None
    end_attempt(database, done, Ending(Outcome.OK, ""), NOW)
    with database.write() as tx:
        add_private_names(tx, ["repo/twin", "archive/vault"], NOW)
        add_private_names(tx, ["repo/twin"], NOW)
        note_private_objects(tx, 1, [str(sha256_of(b"else"))])
        set_embargo(tx, 1, BOTH)
        for _ in range(2):
            note_private_objects(tx, 1, {"files": {"x.deb": str(DIGEST)}})
        told = append_event(tx, Event(EventKind.CONFIG_APPLIED, NOW, "c", {"commit": "c", "config": "d"}, 1))
        plain = append_event(tx, Event(EventKind.CONFIG_APPLIED, NOW, "c", {"commit": "c", "config": "d"}))
    with open_again().read() as tx:
        assert list_private_names(tx) == BOTH.names
        assert [job.embargo for job in list_jobs(tx)] == [PUBLIC, BOTH]
        assert [embargo_of_job(tx, job) for job in (1, 2, 3, None)] == [BOTH, PUBLIC, PUBLIC, PUBLIC]
        assert [embargo_of_event(tx, event) for event in (told, plain, 99, None)] == [BOTH, PUBLIC, PUBLIC, PUBLIC]
        assert embargo_of_objects(tx, {"files": {"other": str(DIGEST)}}) == BOTH
        assert embargo_of_objects(tx, {"files": {}, "more": [str(sha256_of(b"else"))]}) == PUBLIC
        assert list_embargoes(tx) == [BOTH]
        assert [row.number for row in newest_events(tx, 9, embargoes=[""])] == [plain]
        assert count_by_state(tx, [""]) == {JobState.QUEUED: 1}
        assert count_by_state(tx, ["", BOTH.text]) == {JobState.QUEUED: 1, JobState.DONE: 1}
    with database.write() as tx:
        open_job(tx, 1, "for all", "house")
    with open_again().read() as tx:
        job = get_job(tx, 1)
        assert (job.embargo, job.title, job.share) == (PUBLIC, "for all", "house")


def test_a_reader_has_one_token_and_it_can_be_taken_away(open_again: OpenAgain) -> None:
    database = open_again()
    ada, bob = (ReaderRow(name, sha256_of(name.encode()), NOW) for name in ("ada", "bob"))
    newer = ReaderRow("ada", DIGEST, NOW + timedelta(hours=1))
    with database.write() as tx:
        for row in (bob, ada, newer):
            keep_reader(tx, row)
    with open_again().read() as tx:
        assert list_readers(tx) == [newer, bob]
        assert (find_reader(tx, "ada"), find_reader(tx, "eve")) == (newer, None)
    with database.write() as tx:
        assert (drop_reader(tx, "ada"), drop_reader(tx, "ada")) == (True, False)
    with open_again().read() as tx:
        assert list_readers(tx) == [bob]
