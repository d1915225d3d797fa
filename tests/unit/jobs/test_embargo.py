"""What comes of something private is private, along every way by which one thing follows from another; and only that is."""

from collections.abc import Mapping

import pytest
from tests.worlds.state import COUNT
from tests.worlds.times import NOW

from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.branches import RefCommit
from distwright.model.digests import Json, sha256_of
from distwright.model.embargo import PUBLIC, Embargo
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.model.records import Job
from distwright.store.branch_states import commits_of_job
from distwright.store.database import Database
from distwright.store.embargoes import add_private_names, list_embargoes, list_private_names
from distwright.store.events import append_event, events_after, newest_events
from distwright.store.jobs import list_jobs

TWIN, VAULT = Embargo(frozenset({"repo/twin"})), Embargo(frozenset({"archive/vault"}))
OBJECT = str(sha256_of(b"made in secret"))


@pytest.fixture
def private(database: Database) -> Database:
    """Let a repo and an archive be private."""
    with database.write() as tx:
        add_private_names(tx, ["repo/twin", "archive/vault"], NOW)
    return database


def order(inputs: Mapping[str, Json], title: str = "x", *commits: RefCommit, kind: KindName = COUNT) -> JobOrder:
    return JobOrder(kind, dict(inputs), title, share=title, commits=commits)


def place(database: Database, wanted: JobOrder, cause: int | None = None) -> Job:
    with database.write() as tx:
        return place_order(tx, wanted, NOW, cause=cause)


def pushed(database: Database, repo: str) -> int:
    body = {"repo": repo, "ref": "refs/heads/main", "old": "0" * 40, "new": "1" * 40, "pusher": ""}
    with database.write() as tx:
        return append_event(tx, Event(EventKind.REPO_PUSHED, NOW, f"{repo} refs/heads/main", body))


def end(database: Database, outputs: Mapping[str, Json], *events: Event) -> None:
    job = claim_next(database, ["local"], "somebody", NOW)
    assert job is not None
    end_attempt(database, job, Ending(Outcome.OK, "", outputs, list(events)), NOW)


def embargoes(database: Database) -> list[Embargo]:
    """Give those of all events, the oldest first."""
    with database.read() as tx:
        return [stored.embargo for stored in events_after(tx, 0)]


def test_an_order_is_private_by_what_its_inputs_name(private: Database) -> None:
    assert place(private, order({"repo": "twin"})).embargo == TWIN
    assert place(private, order({"environment": {"shelf": [{"archive": "vault"}]}})).embargo == VAULT
    assert place(private, order({"repo": "petrel", "archive": "petrel"})).embargo == PUBLIC


def test_what_follows_from_something_private_is_too_whatever_it_names(private: Database) -> None:
    number = pushed(private, "twin")
    job = place(private, order({"number": 1}), number)
    assert job.embargo == TWIN
    finding = Event(EventKind.BUILD_COMPARED, NOW, "hello 1.0", {"source": "hello", "version": "1.0", "verdict": "differs",
                    "message": "x"}, job.id)  # fmt: skip
    end(private, {}, finding)
    assert embargoes(private) == [TWIN, TWIN], "the push, and what was found"
    with private.read() as tx:
        found = [stored.number for stored in newest_events(tx, 9)]
    assert place(private, order({"number": 2}), found[0]).embargo == TWIN


def test_what_follows_from_both_is_seen_by_who_may_see_both(private: Database) -> None:
    assert place(private, order({"archive": "vault"}), pushed(private, "twin")).embargo == TWIN | VAULT


def test_public_work_stays_public_while_something_is_private(private: Database) -> None:
    job = place(private, order({"repo": "petrel"}), pushed(private, "petrel"))
    end(private, {})
    assert (job.embargo, embargoes(private)) == (PUBLIC, [PUBLIC])


def test_a_command_about_what_was_made_in_secret_gives_secret_work(private: Database) -> None:
    place(private, order({"repo": "twin"}))
    end(private, {"files": {"hello.deb": OBJECT}})
    assert place(private, order({"pairs": {"hello.deb": [OBJECT, OBJECT]}})).embargo == TWIN
    assert place(private, order({"pairs": {"hello.deb": ["0" * 64]}})).embargo == PUBLIC
    assert place(private, order({"n": 3}, "x", RefCommit("twin", "refs/heads/main", "1" * 40))).embargo == TWIN


def test_a_public_order_of_the_same_work_opens_it_under_its_own_title(private: Database) -> None:
    secret = place(private, order({"number": 1}, "of the twin"), pushed(private, "twin"))
    again = place(private, order({"number": 1}, "of the twin, more"), pushed(private, "twin"))
    assert (again.id, again.embargo, again.title) == (secret.id, TWIN, "of the twin")
    opened = place(private, order({"number": 1}, "of petrel"), pushed(private, "petrel"))
    assert (opened.id, opened.embargo, opened.title, opened.share) == (secret.id, PUBLIC, "of petrel", "of petrel")
    late = place(private, order({"number": 1}, "of the twin"), pushed(private, "twin"))
    assert (late.embargo, late.title) == (PUBLIC, "of petrel")


def test_the_same_work_of_two_embargoes_is_seen_by_who_may_see_both(private: Database) -> None:
    first = place(private, order({"number": 1}), pushed(private, "twin"))
    body = {"archive": "vault", "suite": "fixes", "revision": OBJECT}
    with private.write() as tx:
        number = append_event(tx, Event(EventKind.SUITE_RETIRED, NOW, "vault/fixes", body))
    assert (first.embargo, place(private, order({"number": 1}), number).embargo) == (TWIN, TWIN | VAULT)


def test_private_work_that_follows_from_a_public_push_is_on_no_page_of_its_branch(private: Database) -> None:
    public = RefCommit("petrel", "refs/heads/main", "1" * 40)
    secret = place(private, order({"archive": "vault"}, "x", public), pushed(private, "petrel"))
    plain = place(private, order({"archive": "petrel"}, "x", public), pushed(private, "petrel"))
    with private.read() as tx:
        assert (commits_of_job(tx, secret.id), commits_of_job(tx, plain.id)) == ([], [public])


def test_lists_give_what_may_be_seen_and_fill_up_with_it(private: Database) -> None:
    for number in range(4):
        place(private, order({"repo": "twin" if number % 2 else "petrel", "number": number}))
    pushed(private, "twin")
    with private.read() as tx:
        assert [job.id for job in list_jobs(tx, limit=2, embargoes=[""])] == [3, 1]
        assert [job.id for job in list_jobs(tx, limit=3, embargoes=["", TWIN.text])] == [4, 3, 2]
        assert [len(newest_events(tx, 9, embargoes=seen)) for seen in ([""], [TWIN.text], None)] == [0, 1, 1]
        assert list_embargoes(tx) == [TWIN]


def test_names_are_noted_once_and_mark_what_was_told_of_the_repo_before(database: Database) -> None:
    for repo in ("twin", "twin2", "petrel"):
        pushed(database, repo)
    for _ in range(2):
        with database.write() as tx:
            add_private_names(tx, ["repo/twin", "archive/vault"], NOW)
    with database.read() as tx:
        assert list_private_names(tx) == {"repo/twin", "archive/vault"}
    assert embargoes(database) == [TWIN, PUBLIC, PUBLIC]
