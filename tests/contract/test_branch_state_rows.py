"""Rows about branches, on every database: written once whoever looks, and marked by whatever changes a job of theirs."""

from datetime import timedelta

from tests.worlds.installation import config
from tests.worlds.state import OpenAgain, all_at_once, count_order, placed
from tests.worlds.times import NOW

from distwright.flow.advance import READER
from distwright.flow.branch_looks import look_at_branches
from distwright.jobs.lease import Ending, Retry, claim_next, end_attempt
from distwright.jobs.order import PRIORITY_TOPIC, JobOrder, cancel, retry
from distwright.jobs.step import KindName
from distwright.model.branches import BranchRow, BranchState, ReadyBranch, RefCommit
from distwright.model.events import Event, EventKind
from distwright.model.outcomes import Outcome
from distwright.repos.spool import NOTHING
from distwright.store.branch_states import (
    drop_branch,
    find_branch,
    jobs_of_commit,
    list_branches,
    queued_jobs_of_ref,
    ready_branches_of,
    set_branch,
    set_ready,
    stale_branches,
    unset_ready,
)
from distwright.store.database import Database
from distwright.store.events import append_event, move_cursor, newest_of_kind
from distwright.store.refs import set_ref

TOPIC = RefCommit("live", "refs/heads/topic", "a" * 40)
ROW = BranchRow("live", "topic", "a" * 40, "ada", NOW, BranchState.OK, NOW, BranchState.FAILED, 7)


def order(number: int, *commits: RefCommit, kind: str = "image.test") -> JobOrder:
    return JobOrder(KindName(kind, 1), {"number": number}, "x", PRIORITY_TOPIC, share="ada", commits=commits)


def stale(database: Database) -> list[tuple[str, str]]:
    with database.read() as tx:
        return stale_branches(tx, 10)


def settle(database: Database, *rows: BranchRow) -> None:
    with database.write() as tx:
        for row in rows:
            set_branch(tx, row)


def test_rows_come_back_as_they_were_written_and_the_newer_one_counts(open_again: OpenAgain) -> None:
    database = open_again()
    newer = BranchRow("live", "topic", "b" * 40, "", NOW, BranchState.RUNNING, NOW, None, None)
    other = BranchRow("live", "TOPIC", "b" * 40, "", NOW, BranchState.NOTHING, NOW, None, None)
    settle(database, ROW, newer, other)
    with open_again().read() as tx:
        assert find_branch(tx, "live", "topic") == newer
        assert list_branches(tx) == [other, newer], "sorted byte by byte"
    with database.write() as tx:
        drop_branch(tx, "live", "topic")
        assert find_branch(tx, "live", "topic") is None
        set_ready(tx, ReadyBranch("live", "topic", "ada", NOW))
        set_ready(tx, ReadyBranch("live", "topic", "bob", NOW))
        assert ready_branches_of(tx, "live") == {"topic": ReadyBranch("live", "topic", "bob", NOW)}
        assert [unset_ready(tx, "live", "topic") for _ in range(2)] == [True, False]


def test_whatever_changes_a_job_marks_the_branches_at_its_commit_and_no_other(open_again: OpenAgain) -> None:
    database = open_again()
    elsewhere = BranchRow("live", "moved", "b" * 40, "", NOW, BranchState.OK, NOW, None, None)
    settle(database, ROW, elsewhere)
    placed(database, count_order())
    assert claim_next(database, ["local"], "x", NOW) is not None
    assert stale(database) == []
    job = placed(database, order(1, TOPIC, RefCommit("greeter", "refs/heads/main", "b" * 40)))
    assert stale(database) == [("live", "topic")]
    for change in ("end", "retry", "cancel", "retry", "make way"):
        settle(database, ROW)
        assert stale(database) == []
        if change in ("end", "make way"):
            claimed = claim_next(database, ["local"], "x", NOW)
            assert claimed is not None
            assert stale(database) == [], "that it begins is no change"
            end = (Outcome.FAILED, Retry.LATER) if change == "end" else (Outcome.CANCELLED, Retry.MADE_WAY)
            end_attempt(database, claimed, Ending(end[0], "x"), NOW, retry=end[1])
        with database.write() as tx:
            if change == "retry":
                retry(tx, job.id, NOW)
            if change == "cancel":
                cancel(tx, job.id, NOW)
        assert stale(database) == [("live", "topic")], change


def test_a_tags_jobs_count_for_the_branch_at_its_commit_and_other_branches_do_not(open_again: OpenAgain) -> None:
    database = open_again()
    tagged = placed(database, order(1, RefCommit("live", "refs/tags/1.0", TOPIC.commit)))
    own = placed(database, order(2, TOPIC))
    placed(database, order(3, RefCommit("live", "refs/heads/other", TOPIC.commit)))
    placed(database, order(4, RefCommit("else", TOPIC.ref, TOPIC.commit)))
    with database.read() as tx:
        assert [job.id for job in jobs_of_commit(tx, "live", TOPIC.ref, TOPIC.commit)] == [tagged.id, own.id]
        assert queued_jobs_of_ref(tx, "live", TOPIC.ref) == [own.id]


def test_a_change_is_told_once_by_many_who_look_at_once(open_again: OpenAgain) -> None:
    database = open_again()
    with database.write() as tx:
        set_ref(tx, "live", TOPIC.ref, TOPIC.commit, NOW)
        body = {"repo": "live", "ref": TOPIC.ref, "old": NOTHING, "new": TOPIC.commit, "pusher": "ada"}
        number = append_event(tx, Event(EventKind.REPO_PUSHED, NOW, "live topic", body))
        move_cursor(tx, READER, number)
    placed(database, order(1, TOPIC))
    later = NOW + timedelta(minutes=1)
    assert sorted(all_at_once(database.url, lambda one: look_at_branches(one, config(), later)))[:3] == [0, 0, 0]
    with database.read() as tx:
        (told,) = newest_of_kind(tx, EventKind.BRANCH_STATUS_CHANGED)
        assert find_branch(tx, "live", "topic") == BranchRow(
            "live", "topic", TOPIC.commit, "ada", NOW, BranchState.RUNNING, later, None, 1
        )
    assert (told.event.body["pusher"], told.event.body["about"], told.event.body["state"]) == ("ada", 1, "running")
