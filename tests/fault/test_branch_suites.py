"""Killed anywhere, raced by anybody: each branch has its suite once, before anybody reads of its push."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.test_branching import delete, fill, installed, names, push, row, rows, suite, take_in
from tests.worlds.installation import WorldContext
from tests.worlds.killing import killed_before_each_change

from distwright.archive.branching import SuitesOfBranches, withdraw_all_ended
from distwright.archive.resolve import publish_request
from distwright.archive.retiring_suite import retire_suite
from distwright.archive.suites import Who, publish_suite
from distwright.archive.tree import EMPTY_ROOT
from distwright.errors import NotFound, Refused
from distwright.model.events import EventKind
from distwright.repos.hosting import make_repo
from distwright.repos.pushes import take_in_pushes
from distwright.repos.spool import NOTHING
from distwright.store.archives import live_publication
from distwright.store.database import Database, Transaction
from distwright.store.refs import refs_of
from distwright.store.suites import get_suite
from distwright.tools.git import refs

TOPICS = ("feature/a", "feature/b", "wip/c")
WHO = Who("user ada")


def announced(context: WorldContext, number: int, ref: str, old: str, new: str) -> None:
    """Leave what a hook leaves of a push."""
    (context.paths.spool / f"{number}.push").write_text(f"greeter\npusher ada\n{old} {new} {ref}\n")


def in_order(context: WorldContext) -> list[str]:
    """Say what happened, in its order, as far as branches go."""
    return [
        event.subject
        for event in context.events()
        if event.kind in (EventKind.SUITE_CHANGED, EventKind.REPO_PUSHED, EventKind.SUITE_RETIRED)
    ]


def published(context: WorldContext, name: str) -> None:
    with context.database.read() as tx:
        found = get_suite(tx, "petrel", name)
    publish_suite(context, publish_request(context.config, found))


def is_served(context: WorldContext, name: str) -> bool:
    return (context.paths.public / "petrel" / "dists" / name / "InRelease").exists()


def test_killed_while_pushes_are_taken_in_each_branch_has_its_suite_once(tmp_path: Path) -> None:
    def make(name: str) -> WorldContext:
        context = installed(tmp_path / name)
        push(context, "greeter", "main", *TOPICS)
        for number, (ref, new) in enumerate(refs(context.paths.repo("greeter")).items()):
            announced(context, number, ref, NOTHING, new)
        (context.paths.objects / EMPTY_ROOT.revision[:2] / EMPTY_ROOT.revision[2:]).unlink(missing_ok=True)
        context.database.close()
        return context

    def act(context: WorldContext) -> Callable[[], object]:
        return lambda: take_in(context)

    wanted = [
        "petrel/feature-a", "petrel/feature-b", "greeter refs/heads/feature/a", "greeter refs/heads/feature/b",
        "greeter refs/heads/main", "greeter refs/heads/wip/c",
    ]  # fmt: skip
    for _, context in killed_before_each_change(make, act, more_than=4):
        with context.database.read() as tx:
            known = refs_of(tx, "greeter")
        assert (set(rows(context)) == {"main", "feature/a", "feature/b"}) is bool(known), "both or none"
        take_in(context)
        assert in_order(context) == wanted
        assert names(context) == ["devel", "feature-a", "feature-b"]
        assert context.objects.has(EMPTY_ROOT.revision)
        assert list(context.paths.spool.iterdir()) == []


def test_killed_while_a_branch_goes_its_empty_overlay_goes_with_it_and_is_served_no_more(tmp_path: Path) -> None:
    def make(name: str) -> WorldContext:
        context = installed(tmp_path / name)
        push(context, "greeter", "topic", "other")
        take_in(context)
        published(context, "topic")
        published(context, "other")
        assert is_served(context, "topic")
        delete(context, "greeter", "topic")
        context.database.close()
        return context

    def act(context: WorldContext) -> Callable[[], object]:
        return lambda: take_in(context)

    for _, context in killed_before_each_change(make, act, more_than=2):
        assert is_served(context, "topic") or suite(context, "topic") is None, "the pointer goes last"
        take_in(context)
        withdraw_all_ended(context.database, context.paths, context.config)  # as whoever starts does
        assert names(context) == ["devel", "other"]
        assert (is_served(context, "topic"), is_served(context, "other")) == (False, True)
        assert in_order(context).count("petrel/topic") == 2, "made and retired"
        with context.database.read() as tx:
            assert live_publication(tx, "petrel", "topic") is None


def test_two_processes_that_take_in_the_same_pushes_make_each_suite_once(tmp_path: Path) -> None:
    context = installed(tmp_path)
    make_repo(context.paths, "greeter", "main")
    others = [Database(context.database.url) for _ in range(2)]
    is_over = threading.Event()

    def take(database: Database) -> None:
        settling = SuitesOfBranches(database, context.objects, context.paths, context.config)
        while not is_over.is_set():
            take_in_pushes(database, context.paths, ["greeter", "live"], context.clock, settling=settling)

    with ThreadPoolExecutor(2) as threads:
        takers = [threads.submit(take, database) for database in others]
        for number in range(10):
            push(context, "greeter", f"topic/{number}")
            push(context, "live", f"topic/{number}")
            delete(context, "greeter", f"topic/{number - 1}")
        is_over.set()
        for taker in takers:
            taker.result()
    take_in(context)
    made = [event.subject for event in context.events() if event.kind is EventKind.SUITE_CHANGED]
    assert sorted(made) == sorted({*made}) == [f"petrel/topic-{number}" for number in range(10)]
    assert names(context) == ["devel", *(f"topic-{number}" for number in range(10))]
    assert [row(context, f"topic/{number}", "live").suite for number in (0, 9)] == ["topic-0", "topic-9"]
    for database in others:
        database.close()


class Overtaken(Database):
    """A database whose first writing transaction begins after something else has happened."""

    def __init__(self, context: WorldContext, happens: Callable[[], object]) -> None:
        super().__init__(context.database.url)
        self.happens: list[Callable[[], object]] = [happens]

    def write(self) -> AbstractContextManager[Transaction]:  # type: ignore[override]  # as the one that it stands for
        if self.happens:
            self.happens.pop()()
        return super().write()


def test_a_push_that_comes_while_its_suite_is_retired_keeps_it_served(tmp_path: Path) -> None:
    context = installed(tmp_path)
    push(context, "greeter", "topic")
    take_in(context)
    published(context, "topic")
    fill(context, "topic")
    delete(context, "greeter", "topic")
    take_in(context)
    plain = context.database

    def come() -> None:
        context.database = plain
        push(context, "greeter", "topic")
        take_in(context)

    context.database = Overtaken(context, come)
    with pytest.raises(Refused, match="branch topic of greeter has it"):
        retire_suite(context, "petrel", "topic", WHO, dry_run=False)
    assert is_served(context, "topic")
    assert row(context, "topic").suite == "topic"


def test_a_suite_that_is_retired_while_its_branch_comes_back_is_made_anew(tmp_path: Path) -> None:
    context = installed(tmp_path)
    push(context, "greeter", "topic")
    take_in(context)
    fill(context, "topic")
    delete(context, "greeter", "topic")
    take_in(context)
    push(context, "greeter", "topic")
    slow = Overtaken(context, lambda: retire_suite(context, "petrel", "topic", WHO, dry_run=False))
    settling = SuitesOfBranches(slow, context.objects, context.paths, context.config)
    take_in_pushes(slow, context.paths, ["greeter"], context.clock, settling=settling)
    slow.close()
    found = suite(context, "topic")
    assert found is not None
    assert found.revision == EMPTY_ROOT.revision
    assert (row(context, "topic").suite, row(context, "topic").gone_at) == ("topic", None)
    with pytest.raises(Refused):
        retire_suite(context, "petrel", "topic", WHO, dry_run=True)


def test_of_two_pushes_that_collide_at_the_same_moment_one_has_the_suite(tmp_path: Path) -> None:
    context = installed(tmp_path)
    push(context, "greeter", "feature/a")
    push(context, "live", "feature-a")

    def faster() -> None:
        settling = SuitesOfBranches(context.database, context.objects, context.paths, context.config)
        take_in_pushes(context.database, context.paths, ["live"], context.clock, settling=settling)

    slow = Overtaken(context, faster)
    settling = SuitesOfBranches(slow, context.objects, context.paths, context.config)
    take_in_pushes(slow, context.paths, ["greeter"], context.clock, settling=settling)
    slow.close()
    assert row(context, "feature-a", "live").suite == "feature-a"
    assert "belongs to branch 'feature-a' of live" in row(context, "feature/a").problem
    assert names(context) == ["devel", "feature-a"]


def test_a_retire_that_was_cut_off_before_its_pointer_went_is_ended_by_the_next_command(tmp_path: Path) -> None:
    context = installed(tmp_path)
    push(context, "greeter", "topic")
    take_in(context)
    published(context, "topic")
    delete(context, "greeter", "topic")

    link = context.paths.public / "petrel" / "dists" / "topic"
    target = link.readlink()
    take_in(context)
    link.symlink_to(target)  # as if cut off
    with pytest.raises(NotFound):
        retire_suite(context, "petrel", "topic", WHO, dry_run=False)
    assert not link.is_symlink()


def test_killed_while_a_suite_is_retired_it_is_whole_or_gone_and_the_next_command_ends_it(tmp_path: Path) -> None:
    def make(name: str) -> WorldContext:
        context = installed(tmp_path / name)
        push(context, "greeter", "topic")
        take_in(context)
        published(context, "topic")
        context.config = replace(context.config, repos={})  # nobody has it any more
        context.database.close()
        return context

    def retire(context: WorldContext) -> object:
        return retire_suite(context, "petrel", "topic", WHO, dry_run=False)

    def act(context: WorldContext) -> Callable[[], object]:
        return lambda: retire(context)

    for _, context in killed_before_each_change(make, act, more_than=3):
        assert is_served(context, "topic") or suite(context, "topic") is None, "the pointer goes last"
        with contextlib.suppress(NotFound):
            retire(context)
        assert (suite(context, "topic"), is_served(context, "topic")) == (None, False)
        assert [event.kind for event in context.events()].count(EventKind.SUITE_RETIRED) == 1
