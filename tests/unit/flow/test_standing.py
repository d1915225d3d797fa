"""In which class work stands, whose it is and for which commits, from the push to the last check."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.worlds.installation import config
from tests.worlds.state import count_order, placed
from tests.worlds.times import NOW

from distwright.errors import NotFound, Refused
from distwright.flow.standing import Standing, class_of_ref, placed_as, standing_of
from distwright.jobs.order import (
    PRIORITY_BASE,
    PRIORITY_DAILY,
    PRIORITY_RELEASE,
    PRIORITY_REVIEW,
    PRIORITY_TOPIC,
    JobOrder,
    get_job,
    place_order,
)
from distwright.model.branches import RefCommit, commit_of_inputs
from distwright.model.events import Event, EventKind
from distwright.repos.ready import say_ready
from distwright.repos.spool import NOTHING
from distwright.store.branch_states import commits_of_job, jobs_of_commit, ready_branches_of
from distwright.store.database import Database
from distwright.store.events import newest_events
from distwright.store.refs import set_ref

CONFIG = replace(
    config(), repos={**config().repos, "live": config().repos["live"].model_copy(update={"protected": ("stable",)})}
)
TOPIC = RefCommit("live", "refs/heads/topic", "a" * 40)


def pushed(repo: str = "live", ref: str = "refs/heads/topic", new: str = "a" * 40, pusher: str = "ada") -> Event:
    body = {"repo": repo, "ref": ref, "old": NOTHING, "new": new, "pusher": pusher}
    return Event(EventKind.REPO_PUSHED, NOW, f"{repo} {ref}", body)


def standing(database: Database, event: Event) -> Standing:
    with database.read() as tx:
        return standing_of(tx, CONFIG, event)


def as_placed(database: Database, where: Standing, order: JobOrder) -> JobOrder:
    with database.read() as tx:
        return placed_as(tx, CONFIG, where, order)


def ready(database: Database, *, is_ready: bool = True, branch: str = "topic", repo: str = "live") -> bool:
    return say_ready(database, CONFIG, repo, branch, is_ready=is_ready, actor="ada", now=NOW)


@pytest.fixture
def with_topic(database: Database) -> Database:
    with database.write() as tx:
        for name in ("main", "topic"):
            set_ref(tx, "live", f"refs/heads/{name}", "a" * 40, NOW)
    return database


@pytest.mark.parametrize(
    ("repo", "ref", "priority"),
    [
        ("live", "refs/tags/2.0", PRIORITY_RELEASE),
        ("greeter", "refs/tags/1.0", PRIORITY_BASE),
        ("live", "refs/heads/main", PRIORITY_BASE),
        ("live", "refs/heads/stable", PRIORITY_BASE),
        ("live", "refs/heads/seen", PRIORITY_REVIEW),
        ("live", "refs/heads/topic", PRIORITY_TOPIC),
        ("gone", "refs/heads/topic", PRIORITY_BASE),
    ],
)
def test_class_follows_from_the_ref(repo: str, ref: str, priority: int) -> None:
    assert class_of_ref(CONFIG, repo, ref, {"seen"}) == priority


def test_classes_are_in_their_order() -> None:
    assert PRIORITY_RELEASE > PRIORITY_BASE > PRIORITY_REVIEW > PRIORITY_TOPIC > PRIORITY_DAILY


def test_push_is_its_pushers_and_for_its_commit(database: Database) -> None:
    assert standing(database, pushed()) == Standing(PRIORITY_TOPIC, "ada", (TOPIC,))
    assert standing(database, pushed(pusher="")).share == "live/topic"
    assert standing(database, pushed(new=NOTHING)).commits == ()


def test_what_follows_from_a_job_stands_as_the_job_and_is_for_the_same_commits(database: Database) -> None:
    first = Standing(PRIORITY_TOPIC, "ada", (TOPIC,))
    job = placed(database, as_placed(database, first, count_order(1)))
    event = Event(EventKind.CONFIG_APPLIED, NOW, "x", {"commit": "c", "config": "d"}, job.id)
    assert standing(database, event) == first
    follower = placed(database, as_placed(database, standing(database, event), count_order(2)))
    assert (follower.priority, follower.share) == (PRIORITY_TOPIC, "ada")
    with database.read() as tx:
        assert commits_of_job(tx, follower.id) == [TOPIC]
        assert [found.id for found in jobs_of_commit(tx, "live", TOPIC.ref, TOPIC.commit)] == [1, 2]
        assert jobs_of_commit(tx, "live", "refs/heads/other", TOPIC.commit) == []


def test_new_snapshot_is_daily_work_and_other_events_are_the_houses(database: Database) -> None:
    body = {"archive": "debian", "serial": "2026112301", "snapshot": "x"}
    assert standing(database, Event(EventKind.SNAPSHOT_RECORDED, NOW, "x", body, 7)) == Standing(PRIORITY_DAILY)
    applied = Event(EventKind.CONFIG_APPLIED, NOW, "x", {"commit": "c", "config": "d"})
    assert standing(database, applied) == Standing(PRIORITY_BASE)


def test_what_counts_for_less_than_usual_never_counts_for_more(database: Database) -> None:
    topic, release = Standing(PRIORITY_TOPIC), Standing(PRIORITY_RELEASE)

    def priorities_of(order: JobOrder) -> list[int]:
        return [as_placed(database, where, order).priority for where in (topic, release)]

    daily = count_order(priority=PRIORITY_DAILY)
    assert priorities_of(daily) == [PRIORITY_DAILY, PRIORITY_DAILY]
    assert priorities_of(count_order(priority=PRIORITY_REVIEW)) == [PRIORITY_TOPIC, PRIORITY_REVIEW]
    for usual in (PRIORITY_TOPIC, PRIORITY_BASE, PRIORITY_RELEASE):
        assert priorities_of(count_order(priority=usual)) == [PRIORITY_TOPIC, PRIORITY_RELEASE]
    assert as_placed(database, topic, daily).digest == daily.digest, "where an order stands is no part of what it is"


def test_topic_that_is_built_because_its_base_moved_is_in_its_own_class(with_topic: Database) -> None:
    base = standing(with_topic, pushed(ref="refs/heads/main"))
    inputs = {"repo": "live", "branch": "topic", "commit": "a" * 40}
    again = JobOrder(count_order().kind, inputs, "x", PRIORITY_TOPIC)
    assert as_placed(with_topic, base, again).priority == PRIORITY_TOPIC
    assert as_placed(with_topic, Standing(PRIORITY_DAILY), again).priority == PRIORITY_DAILY
    ready(with_topic)
    assert as_placed(with_topic, base, again).priority == PRIORITY_REVIEW
    assert as_placed(with_topic, standing(with_topic, pushed()), again).priority == PRIORITY_REVIEW


def test_image_of_a_tag_is_a_release_though_its_inputs_call_it_a_branch(database: Database) -> None:
    release = standing(database, pushed(ref="refs/tags/2.0"))
    order = JobOrder(count_order().kind, {"repo": "live", "branch": "2.0", "commit": "a" * 40}, "x", PRIORITY_RELEASE)
    assert as_placed(database, release, order).priority == PRIORITY_RELEASE


def test_order_says_itself_what_it_is_for(database: Database) -> None:
    inputs = {"repo": "live", "branch": "topic", "commit": "b" * 40}
    order = JobOrder(count_order().kind, inputs, "x", commits=(RefCommit("greeter", "refs/tags/1", "c" * 40),))
    for _ in range(2):
        job = placed(database, order)
    with database.read() as tx:
        assert commits_of_job(tx, job.id) == [
            RefCommit("greeter", "refs/tags/1", "c" * 40),
            RefCommit("live", "refs/heads/topic", "b" * 40),
        ]


def test_a_job_is_for_the_commit_that_its_inputs_name() -> None:
    inputs = {"repo": "live", "branch": "topic", "commit": "a" * 40, "base_commit": "b" * 40}
    assert commit_of_inputs(inputs) == (TOPIC,)
    assert commit_of_inputs({"repo": "r", "tag": "1", "commit": "c"}) == (RefCommit("r", "refs/tags/1", "c"),)
    assert commit_of_inputs({"repo": "", "branch": "topic", "commit": "c"}) == ()
    assert commit_of_inputs({"repo": "r", "commit": "c"}) == ()


# Ready for review


def test_topic_that_is_ready_comes_before_other_topics_with_what_waits_already(with_topic: Database) -> None:
    database = with_topic
    adas, bobs = Standing(PRIORITY_TOPIC, "ada", (TOPIC,)), Standing(PRIORITY_TOPIC, "bob", ())
    waits = placed(database, as_placed(database, adas, count_order(1)))
    daily = placed(database, as_placed(database, adas, count_order(2, priority=PRIORITY_DAILY)))
    other = placed(database, as_placed(database, bobs, count_order(3)))
    assert [ready(database) for _ in range(2)] == [True, False]
    assert standing(database, pushed()).priority == PRIORITY_REVIEW
    assert priorities(database, waits.id, daily.id, other.id) == [PRIORITY_REVIEW, PRIORITY_DAILY, PRIORITY_TOPIC]
    assert [ready(database, is_ready=False) for _ in range(2)] == [True, False]
    assert priorities(database, waits.id, daily.id, other.id) == [PRIORITY_TOPIC, PRIORITY_DAILY, PRIORITY_TOPIC]
    with database.read() as tx:
        events = [(row.event.kind, row.event.subject, row.event.body["ready"]) for row in newest_events(tx, 9)]
        assert events == [(EventKind.BRANCH_READY, "live topic", said) for said in (False, True)]
        assert ready_branches_of(tx, "live") == {}


def priorities(database: Database, *numbers: int) -> list[int]:
    with database.read() as tx:
        return [get_job(tx, number).priority for number in numbers]


@pytest.mark.parametrize(
    ("asks", "error", "words"),
    [
        (lambda database: ready(database, branch="main"), Refused, "'main' of live is a base"),
        (lambda database: ready(database, branch="stable"), Refused, "is a base"),
        (lambda database: ready(database, branch="wip/x"), Refused, "never built"),
        (lambda database: ready(database, branch="gone"), NotFound, "repo live has no branch 'gone'"),
        (lambda database: ready(database, repo="gone"), NotFound, "repo 'gone' is not configured"),
    ],
)
def test_only_a_topic_that_is_there_can_be_ready(
    with_topic: Database, asks: Callable[[Database], bool], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        asks(with_topic)


def test_raised_order_keeps_its_share(database: Database) -> None:
    placed(database, count_order(1, share="ada", priority=PRIORITY_TOPIC))
    with database.write() as tx:
        job = place_order(tx, count_order(1, share="bob", priority=PRIORITY_BASE), NOW)
    assert (job.share, job.priority) == ("ada", PRIORITY_BASE)
