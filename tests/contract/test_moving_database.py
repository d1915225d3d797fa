"""Moving from SQLite to PostgreSQL: every row arrives, numbers go on, nobody writes to the old one, and it can be cut off anywhere.

What works afterwards is in tests/upgrade: all that works on the state of a version works on it when it was moved.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.states.keep import fill
from tests.worlds.installation import close_worlds
from tests.worlds.postgres import PostgresCluster
from tests.worlds.state import COUNT, count_order, placed
from tests.worlds.times import NOW

from distwright.errors import BadUsage, Refused
from distwright.jobs.lease import LEASE_S, Ending, claim_next, end_attempt, reap
from distwright.model.outcomes import JobState, Outcome
from distwright.store import moving
from distwright.store.database import Database
from distwright.store.jobs import find_job
from distwright.store.moving import move_database
from distwright.store.paths import StatePaths
from distwright.store.schema import metadata


class CutError(Exception):
    """The power is cut."""


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """A state with something in every room, and a queue."""
    fill(tmp_path / "state")
    close_worlds()
    paths = StatePaths(tmp_path / "state")
    database = Database(paths.database_url)
    for number in range(3):
        placed(database, count_order(number))
    assert claim_next(database, ["local"], "somebody", NOW, [COUNT]) is not None
    database.close()
    return paths


def rows_of(url: str, *, may_have_moved: bool = False) -> dict[str, list[str]]:
    database = Database(url, may_have_moved=may_have_moved)
    with database.read() as tx:
        found = {
            table.name: sorted(repr(tuple(row)) for row in tx.connection.execute(sa.select(table)))
            for table in metadata.sorted_tables
        }
    database.close()
    return found


def no_progress(_table: str, _done: int, _count: int) -> None:
    """Tell nobody."""


def test_every_row_is_there_and_the_state_says_where(paths: StatePaths, postgres: PostgresCluster) -> None:
    url, before = postgres.new_database(), rows_of(paths.database_url)
    moved = move_database(paths, url, no_progress)
    assert paths.database_url == url
    assert paths.database_place.stat().st_mode & 0o777 == 0o600
    assert rows_of(url) == before
    assert moved.rows == {name: len(rows) for name, rows in before.items()}
    assert moved.rows["jobs"] >= 3
    with pytest.raises(Refused, match="is on PostgreSQL already"):
        move_database(paths, url, no_progress)


def test_numbers_go_on_where_they_were(paths: StatePaths, postgres: PostgresCluster) -> None:
    before = Database(paths.database_url)
    last = placed(before, count_order(99)).id
    with before.write() as tx:  # a number that was given once is given to nobody else
        tx.connection.execute(metadata.tables["jobs"].delete().where(metadata.tables["jobs"].c.id == last))
    before.close()
    url = postgres.new_database()
    move_database(paths, url, no_progress)
    database = Database(url)
    assert placed(database, count_order(100)).id == last + 1
    database.close()


def test_who_has_the_old_one_open_is_refused_and_its_job_is_begun_again(
    paths: StatePaths, postgres: PostgresCluster
) -> None:
    old = Database(paths.database_url)
    job = claim_next(old, ["local"], "worker", NOW, [COUNT])
    assert job is not None
    url = postgres.new_database()
    move_database(paths, url, no_progress)
    for act in (lambda: placed(old, count_order(50)), lambda: end_attempt(old, job, Ending(Outcome.OK, "", {}), NOW)):
        with pytest.raises(Refused, match="has moved to PostgreSQL"):
            act()
    old.close()
    new = Database(url)
    later = NOW + timedelta(seconds=LEASE_S + 1)
    assert job.id in {one.id for one in reap(new, later)}
    with new.read() as tx:
        again = find_job(tx, job.id)
    assert again is not None
    assert (again.state, again.fence) == (JobState.QUEUED, job.fence)
    new.close()


@pytest.mark.parametrize("place", ["copy", "mark", "name"])
def test_cut_off_anywhere_it_goes_on(
    paths: StatePaths, postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """In the copy: nothing has happened. Copied, not marked: copied anew, with what came since. Marked: the name is left."""
    url, before = postgres.new_database(), rows_of(paths.database_url)

    def cut(*_given: object, **_more: object) -> None:
        raise CutError

    with monkeypatch.context() as patch:
        if place == "name":
            patch.setattr(moving, "write_durably", cut)
        if place == "mark":
            patch.setattr(moving, "_counts", cut)  # in the transaction of the old database, after the copy
        with pytest.raises(CutError):
            move_database(paths, url, cut_in("jobs") if place == "copy" else no_progress)
    assert paths.database_url == paths.sqlite_url
    if place != "name":
        database = Database(paths.database_url)
        placed(database, count_order(77))
        database.close()
        before = rows_of(paths.database_url)
    else:
        with pytest.raises(Refused, match="has moved to PostgreSQL"):
            rows_of(paths.database_url)
        with pytest.raises(Refused, match="but not there"):
            move_database(paths, postgres.new_database(), no_progress)
    assert move_database(paths, url, no_progress).is_resumed is (place == "name")
    assert rows_of(paths.database_url) == before


def cut_in(name: str) -> Callable[[str, int, int], None]:
    def progress(table: str, _done: int, _count: int) -> None:
        if table == name:
            raise CutError

    return progress


def test_what_is_in_use_is_not_written_over(paths: StatePaths, postgres: PostgresCluster, tmp_path: Path) -> None:
    url = postgres.new_database()
    move_database(paths, url, no_progress)
    fill(tmp_path / "other")
    close_worlds()
    other = StatePaths(tmp_path / "other")
    before = rows_of(url)
    with pytest.raises(Refused, match="the database there is in use"):
        move_database(other, url, no_progress)
    assert rows_of(url) == before
    assert rows_of(other.database_url)["events"]


@pytest.mark.parametrize("url", ["", "x", "sqlite:///other", "postgresql://me@host", "postgresql://me:secret@host/db"])
def test_an_address_that_is_none_is_named_without_its_password(paths: StatePaths, url: str) -> None:
    with pytest.raises(BadUsage) as caught:
        move_database(paths, url, no_progress)
    assert "secret" not in caught.value.message + caught.value.hint
