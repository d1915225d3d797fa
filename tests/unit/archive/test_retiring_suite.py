"""A retired suite is served no more and keeps nothing but what taking it back needs, for a month."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.worlds.suite import OwnSuite, own_suite

from distwright.archive.garbage import FRESH, GRACE, collect
from distwright.archive.retiring_suite import UNDO_TIME, retire_suite, take_back_suite
from distwright.archive.suites import Who, branch_suite, packages_of
from distwright.errors import NotFound, Refused
from distwright.model.events import EventKind
from distwright.store.holds import all_holds, drop_holds
from distwright.store.suites import find_suite, get_suite, list_revisions

WHO = Who("user ada", "its branch is merged")


@pytest.fixture
def topic(tmp_path: Path) -> OwnSuite:
    """Give a published suite of a topic branch, which no configuration names."""
    suite = own_suite(tmp_path, "topic")
    suite.publish(suite.version("1.0"))
    wait(suite, timedelta())
    return suite


def exists(suite: OwnSuite) -> bool:
    with suite.context.database.read() as tx:
        return find_suite(tx, "petrel", suite.name) is not None


def wait(suite: OwnSuite, time: timedelta) -> None:
    """Let time pass, beyond what the files of this test have."""
    newest = max(suite.context.objects.touched_at(digest) for digest in suite.context.objects.digests())
    suite.context.clock = max(suite.context.clock, newest + FRESH) + time


def test_a_dry_run_changes_nothing(topic: OwnSuite) -> None:
    retire_suite(topic.context, "petrel", "topic", WHO, dry_run=True)
    assert exists(topic)
    assert topic.see().packages == ["hello 1.0", "world 1.0"]


def test_a_retired_suite_is_served_no_more_and_its_history_says_why(topic: OwnSuite) -> None:
    retire_suite(topic.context, "petrel", "topic", WHO, dry_run=False)
    assert not exists(topic)
    assert not (topic.archive / "dists/topic").is_symlink()
    assert "live" not in [state for _, _, state in topic.publications()]
    with topic.context.database.read() as tx:
        last = list_revisions(tx, "petrel", "topic")[0]
    assert (last.action, last.actor, last.reason) == ("retire", WHO.actor, WHO.reason)
    assert [event.subject for event in topic.context.events() if event.kind is EventKind.SUITE_RETIRED] == [
        "petrel/topic"
    ]
    with pytest.raises(NotFound):
        retire_suite(topic.context, "petrel", "topic", WHO, dry_run=False)


def test_within_a_month_it_can_be_taken_back_whole(topic: OwnSuite) -> None:
    with topic.context.database.read() as tx:
        before = get_suite(tx, "petrel", "topic")
    retire_suite(topic.context, "petrel", "topic", WHO, dry_run=False)
    wait(topic, GRACE + timedelta(days=2))
    collect(topic.context, ["petrel"], really=True)
    wait(topic, GRACE + timedelta(days=2))
    collect(topic.context, ["petrel"], really=True)
    back = take_back_suite(topic.context, "petrel", "topic", WHO)
    assert (back.kind, back.revision, back.settings) == (before.kind, before.revision, before.settings)
    assert len(list(packages_of(topic.context.objects, back))) > 1
    topic.publish(back.revision)
    assert topic.see().packages == ["hello 1.0", "world 1.0"]
    with pytest.raises(Refused, match="exists"):
        take_back_suite(topic.context, "petrel", "topic", WHO)


def test_after_a_month_it_is_gone_for_good(topic: OwnSuite) -> None:
    revision = topic.state().revision
    retire_suite(topic.context, "petrel", "topic", WHO, dry_run=False)
    wait(topic, UNDO_TIME + GRACE)
    with topic.context.write() as tx:
        drop_holds(
            tx, [hold.holder for hold in all_holds(tx) if hold.holder.startswith("event ")]
        )  # all are dealt with
    collect(topic.context, ["petrel"], really=True)
    assert revision not in set(topic.context.objects.digests())
    with pytest.raises(NotFound, match="no suite petrel/topic was retired lately"):
        take_back_suite(topic.context, "petrel", "topic", WHO)


def test_what_others_need_stays_and_is_told(tmp_path: Path) -> None:
    suite = own_suite(tmp_path, "topic")
    branch_suite(suite.context, "petrel", "on-top", "topic", "overlay", WHO)
    with pytest.raises(Refused, match="suite on-top is an overlay of it"):
        retire_suite(suite.context, "petrel", "topic", WHO, dry_run=True)
    configured = own_suite(tmp_path / "other", "devel")
    with pytest.raises(Refused, match="the configuration has it"):
        retire_suite(configured.context, "petrel", "devel", WHO, dry_run=False)
    assert exists(configured)
