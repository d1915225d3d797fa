"""Pushes: every ref update becomes one event, whether its hook ran or not; nothing about it can stop a push."""

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds.installation import WorldContext, config, make_context
from tests.worlds.repos import commit

from distwright.model.events import EventKind
from distwright.repos.configured import apply_change, plan_config
from distwright.repos.hosting import make_repo
from distwright.repos.pushes import (
    AT_ONCE,
    after_updates,
    all_updates,
    part_of,
    ref_updates,
    report_unreadable,
    spooled_pushes,
    take_in_pushes,
)
from distwright.repos.spool import FILE_LIMIT_BYTES, NOTHING, RefUpdate, announced_updates, replayed
from distwright.store.database import Database, Transaction
from distwright.store.refs import refs_of
from distwright.tools.git import git, refs

MAIN, TAG = "refs/heads/main", "refs/tags/1.0"
_NAMES = st.dictionaries(st.sampled_from([MAIN, TAG, "refs/heads/topic"]), st.sampled_from(["a" * 40, "b" * 40]))


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def take_in(context: WorldContext, *repos: str) -> int:
    return take_in_pushes(context.database, context.paths, repos or ("live",), context.clock)


def pushed(context: WorldContext) -> list[tuple[str, str, str]]:
    events = [event for event in context.events() if event.kind is EventKind.REPO_PUSHED]
    assert [event.subject for event in events] == [f"{event.body['repo']} {event.body['ref']}" for event in events]
    return [(str(e.body["ref"]), str(e.body["old"]), str(e.body["new"])) for e in events]


@given(known=_NAMES, actual=_NAMES)
def test_updates_lead_from_what_was_known_to_what_is(known: dict[str, str], actual: dict[str, str]) -> None:
    updates = ref_updates("live", known, actual)
    after = dict(known)
    for update in updates:
        assert update.old == known.get(update.ref, NOTHING) != update.new
        after[update.ref] = update.new
    assert {ref: name for ref, name in after.items() if name != NOTHING} == actual
    assert [update.ref for update in updates] == sorted(update.ref for update in updates)


def test_an_unchanged_ref_is_no_update() -> None:
    assert ref_updates("live", {MAIN: "a"}, {MAIN: "a"}) == []
    assert ref_updates("live", {}, {MAIN: "a"}) == [RefUpdate("live", MAIN, NOTHING, "a")]
    assert ref_updates("live", {MAIN: "a"}, {}) == [RefUpdate("live", MAIN, "a", NOTHING)]


def test_a_push_is_taken_in_once_branches_before_tags(context: WorldContext) -> None:
    head = commit(context.paths, "live", {"a": "1"}, tag="1.0")
    assert take_in(context) == 2
    assert pushed(context) == [(MAIN, NOTHING, head), (TAG, NOTHING, head)]
    assert take_in(context) == 0
    second = commit(context.paths, "live", {"a": "2"})
    assert take_in(context) == 1
    assert pushed(context)[-1] == (MAIN, head, second)


def test_a_deleted_ref_is_an_update_to_nothing(context: WorldContext) -> None:
    head = commit(context.paths, "live", {"a": "1"}, tag="1.0")
    take_in(context)
    git(context.paths.repo("live"), "update-ref", "-d", TAG)
    assert take_in(context) == 1
    assert pushed(context)[-1] == (TAG, head, NOTHING)


def test_a_repo_that_is_not_there_yet_has_no_pushes(context: WorldContext) -> None:
    assert take_in(context, "live", "greeter") == 0


def clone_with_commit(folder: Path) -> Path:
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(folder)}
    work = folder / "clone"
    subprocess.run(("git", "init", "--quiet", "--initial-branch=main", str(work)), env=environment, check=True)
    add_commit(work, "first")
    subprocess.run(("git", "-C", str(work), "tag", "1.0"), env=environment, check=True)
    return work


def add_commit(work: Path, message: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(work.parent)}
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    argv = ("git", "-C", str(work), *who, "commit", "--quiet", "--allow-empty", "--message", message)
    subprocess.run(argv, env=environment, check=True)


def push(
    work: Path, target: Path, *, refspecs: tuple[str, ...] = ("main", "1.0"), **more: str
) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(work.parent), **more}
    argv = ["git", "-C", str(work), "push", "--quiet", str(target), *refspecs]
    return subprocess.run(argv, env=environment, capture_output=True, check=False)


def test_a_real_push_spools_once_and_the_spool_is_emptied_when_it_is_taken_in(
    context: WorldContext, tmp_path: Path
) -> None:
    target = make_repo(context.paths, "live", "main")
    assert push(clone_with_commit(tmp_path), target).returncode == 0
    assert spooled_pushes(context.paths.spool) == 1
    [file] = context.paths.spool.iterdir()
    head = refs(target)[MAIN]
    assert file.read_text().splitlines() == ["live", "pusher ", f"{NOTHING} {head} {MAIN}", f"{NOTHING} {head} {TAG}"]
    assert take_in(context) == 2
    assert list(context.paths.spool.iterdir()) == []


def test_two_pushes_of_one_branch_are_two_events_with_their_pusher(context: WorldContext, tmp_path: Path) -> None:
    target, work = make_repo(context.paths, "live", "main"), clone_with_commit(tmp_path)
    push(work, target, GL_USER="ada")
    first = refs(target)[MAIN]
    add_commit(work, "second")
    push(work, target, GL_USER="not a name")
    second = refs(target)[MAIN]
    assert take_in(context) == 3
    assert pushed(context) == [(MAIN, NOTHING, first), (TAG, NOTHING, first), (MAIN, first, second)]
    assert [event.body["pusher"] for event in context.events()] == ["ada", "ada", ""]
    assert take_in(context) == 0


def test_a_push_and_its_undoing_between_two_looks_are_both_events(context: WorldContext, tmp_path: Path) -> None:
    target, work = make_repo(context.paths, "live", "main"), clone_with_commit(tmp_path)
    push(work, target)
    first = refs(target)[MAIN]
    take_in(context)
    add_commit(work, "second")
    push(work, target)
    second = refs(target)[MAIN]
    push(work, target, refspecs=(f"+{first}:{MAIN}", f":{TAG}"))
    assert take_in(context) == 3
    assert pushed(context)[2:] == [(MAIN, first, second), (MAIN, second, first), (TAG, first, NOTHING)]


def test_what_one_process_takes_in_while_another_has_read_the_refs_is_not_undone(context: WorldContext) -> None:
    """Two takers, the slower one caught between its reading and its writing by a push that the faster one records."""
    first = commit(context.paths, "live", {"a": "1"})
    take_in(context)
    second = commit(context.paths, "live", {"a": "2"})
    slow = Database(context.database.url)
    overtaken: list[str] = []

    class Overtaken(Database):
        def write(self) -> AbstractContextManager[Transaction]:  # type: ignore[override]
            if not overtaken:
                overtaken.append(commit(context.paths, "live", {"a": "3"}, tag="1.0"))
                assert take_in(context) == 2
            return slow.write()

    late = Overtaken(context.database.url)
    assert take_in_pushes(late, context.paths, ["live"], context.clock) == 0
    [third] = overtaken
    assert pushed(context) == [(MAIN, NOTHING, first), (MAIN, first, third), (TAG, NOTHING, third)]
    assert second != third
    late.close()
    slow.close()


def test_two_processes_that_take_in_the_same_pushes_record_each_once(context: WorldContext) -> None:
    """Many pushes, two takers that run all the time: every event begins where the one before it ended."""
    others = [Database(context.database.url) for _ in range(2)]
    is_over = threading.Event()

    def take(database: Database) -> None:
        while not is_over.is_set():
            take_in_pushes(database, context.paths, ["live"], context.clock)

    with ThreadPoolExecutor(2) as threads:
        takers = [threads.submit(take, database) for database in others]
        for number in range(25):
            commit(context.paths, "live", {"a": str(number)}, tag=f"1.{number}")
        is_over.set()
        for taker in takers:
            taker.result()
    take_in(context)
    state: dict[str, str] = {}
    for ref, old, new in pushed(context):
        assert state.get(ref, NOTHING) == old
        assert new != NOTHING
        state[ref] = new
    with context.database.read() as tx:
        assert refs_of(tx, "live") == state == refs(context.paths.repo("live"))
    for database in others:
        database.close()


_LINES = st.lists(
    st.builds(RefUpdate, st.just("live"), st.sampled_from([MAIN, TAG]), *[st.sampled_from("abc").map(lambda c: c * 40)] * 2),
    max_size=8,
)  # fmt: skip


@given(announced=_LINES, known=_NAMES, actual=_NAMES)
def test_what_is_replayed_is_a_chain_for_each_ref_whatever_was_announced(
    announced: list[RefUpdate], known: dict[str, str], actual: dict[str, str]
) -> None:
    state = dict(known)
    for update in replayed(announced, known, actual, lambda name: name != "c" * 40):
        assert state.get(update.ref, NOTHING) == update.old
        assert update in announced
        assert update.new != "c" * 40
        state[update.ref] = update.new


def test_hooks_that_end_in_another_order_than_their_pushes_are_put_in_order() -> None:
    one, two, three = (RefUpdate("live", MAIN, old * 40, new * 40) for old, new in ("0a", "ab", "bc"))
    chain = replayed([two, three, one], {}, {MAIN: "c" * 40}, lambda _: True)
    assert chain == [one, two, three]


def test_an_announcement_that_comes_after_its_ref_was_seen_is_not_told_again() -> None:
    there, back = (RefUpdate("live", MAIN, old * 40, new * 40) for old, new in ("ab", "ba"))
    assert replayed([there], {MAIN: "b" * 40}, {MAIN: "b" * 40}, lambda _: True) == []
    assert replayed([there, back], {MAIN: "b" * 40}, {MAIN: "a" * 40}, lambda _: True) == [back]


A, B = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    "content",
    [
        b"", b"live", b"live\n", b"live\npusher ada\n", f"live\npusher ada\n{A} {B} {MAIN}".encode(),
        f"live\npusher \n{A} {A} {MAIN}\n".encode(), f"live\npusher \n{A} {B}\n".encode(),
        f"live\npusher \n{A} {B} refs/notes/x\n".encode(), f"live\npusher \n{A} {B} refs/heads/a\tb\n".encode(),
        f"live\npusher \n--all {B} {MAIN}\n".encode(), f"live\npusher \n{A} {B[1:]} {MAIN}\n".encode(),
        b"live\npusher \n" + f"{A} {B} refs/heads/".encode() + b"\xff\n", b"\0" * 100,
        f"live\npusher \n{A} {B} refs/heads/{'x' * 300}\n".encode(), b"x" * (FILE_LIMIT_BYTES + 1) + b"\n",
    ],
)  # fmt: skip
def test_a_spool_file_that_no_hook_of_ours_wrote_announces_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "1.push"
    file.write_bytes(content)
    assert announced_updates(file) == []


def test_a_spool_that_somebody_filled_with_traps_is_emptied_and_announces_only_what_is_true(
    context: WorldContext,
) -> None:
    head = commit(context.paths, "live", {"a": "1"})
    spool = context.paths.spool
    (spool / "1.push").symlink_to("/dev/zero")
    os.mkfifo(spool / "2.push")
    (spool / "3.push").write_text(f"live\npusher \n{NOTHING} {A} {MAIN}\n{NOTHING} {A} {TAG}\n")
    (spool / "4.push").write_text(f"../live\npusher \n{NOTHING} {head} {MAIN}\n")
    (spool / "5.push").mkdir()
    assert take_in(context) == 1
    assert pushed(context) == [(MAIN, NOTHING, head)]
    assert [path.name for path in spool.iterdir()] == ["5.push"]


def test_a_branch_whose_name_is_no_text_holds_up_nothing(context: WorldContext) -> None:
    head = commit(context.paths, "live", {"a": "1"})
    target = context.paths.repo("live")
    (target / "refs" / "heads" / os.fsdecode(b"\xff")).write_text(f"{head}\n")
    assert take_in(context) == 1
    assert pushed(context) == [(MAIN, NOTHING, head)]


@pytest.mark.parametrize("damage", ["no spool", "hook removed"])
def test_a_push_whose_hook_can_do_nothing_succeeds_and_is_found_all_the_same(
    context: WorldContext, tmp_path: Path, damage: str
) -> None:
    target = make_repo(context.paths, "live", "main")
    if damage == "no spool":
        context.paths.spool.rmdir()
    else:
        (target / "hooks" / "post-receive").unlink()
    assert push(clone_with_commit(tmp_path), target).returncode == 0
    assert take_in(context) == 2


def test_making_a_repo_again_keeps_its_refs_and_brings_its_hook_up_to_date(context: WorldContext) -> None:
    head = commit(context.paths, "live", {"a": "1"})
    hook = context.paths.repo("live") / "hooks" / "post-receive"
    text = hook.read_text()
    assert hook.stat().st_mode & 0o777 == 0o755
    hook.write_text("#!/bin/sh\nexit 1\n")
    assert make_repo(context.paths, "live", "main") == context.paths.repo("live")
    assert (hook.read_text(), refs(context.paths.repo("live"))) == (text, {MAIN: head})
    assert (context.paths.repo("live") / "HEAD").read_text() == "ref: refs/heads/main\n"


def test_configured_repos_exist_and_removed_ones_stay(context: WorldContext) -> None:
    changes = plan_config(None, config())
    assert [(change.action, change.name) for change in changes] == [("add", "greeter"), ("add", "live")]
    for change in changes:
        apply_change(change, config(), context.paths)
    assert sorted(path.name for path in context.paths.repos.iterdir()) == ["greeter.git", "live.git"]


def test_a_ref_that_is_not_utf8_stops_nothing_and_is_named(context: WorldContext, tmp_path: Path) -> None:
    target = make_repo(context.paths, "live", "main")
    work = clone_with_commit(tmp_path)
    odd = b"HEAD:refs/heads/caf\xe9"
    subprocess.run([b"git", b"-C", bytes(work), b"push", b"--quiet", bytes(target), odd], check=True)
    push(work, target)
    assert take_in(context) == 2
    assert [ref for ref, _, _ in pushed(context)] == [MAIN, TAG]
    heard: list[str] = []
    report_unreadable(context.paths, ["greeter", "live"], heard.append)
    [line] = heard
    assert line.startswith(
        r"repo live: 'refs/heads/caf\udce9' is not UTF-8, or too long, and is passed over; rename it: git -C "
    )


@given(announced=_LINES, known=_NAMES, actual=_NAMES, limit=st.integers(1, 4))
def test_what_is_taken_in_by_parts_is_the_same_as_at_once(
    announced: list[RefUpdate], known: dict[str, str], actual: dict[str, str], limit: int
) -> None:
    """The announcements stay until the last part: none of them is told twice, and none is left out."""
    present = {"a" * 40, "b" * 40}
    whole = all_updates("live", announced, known, actual, present)
    told: list[RefUpdate] = []
    at, is_whole = dict(known), False
    while not is_whole:
        part, is_whole = part_of(all_updates("live", announced, at, actual, present), announced, limit)
        assert part or is_whole
        told += part
        at = after_updates(at, part)
    assert at == actual
    for ref in {*known, *actual, *(update.ref for update in announced)}:
        assert [u for u in told if u.ref == ref] == [u for u in whole if u.ref == ref]


def test_a_push_of_many_branches_is_taken_in_by_parts_with_other_repos_between(
    context: WorldContext, tmp_path: Path
) -> None:
    many = AT_ONCE + 30
    commit(context.paths, "live", {"a": "1"})
    commit(context.paths, "greeter", {"a": "1"})
    take_in(context, "live", "greeter")
    repo = context.paths.repo("live")
    head = refs(repo)[MAIN]
    names = [f"refs/heads/topic/{number:04}" for number in range(many)]
    git(repo, "update-ref", "--stdin", stdin="".join(f"create {name} {head}\n" for name in names).encode())
    spooled = "".join(f"{NOTHING} {head} {name}\n" for name in names)
    (context.paths.spool / "1.push").write_text(f"live\npusher ada\n{spooled}")
    other = commit(context.paths, "greeter", {"a": "2"})
    assert take_in(context, "greeter", "live") == AT_ONCE + 1
    assert spooled_pushes(context.paths.spool) == 1, "the rest of it is there"
    assert (MAIN, other) in {(ref, new) for ref, _, new in pushed(context)}
    assert [take_in(context, "greeter", "live") for _ in range(2)] == [30, 0]
    assert spooled_pushes(context.paths.spool) == 0
    events = [event for event in context.events() if str(event.body["ref"]).startswith("refs/heads/topic/")]
    assert ([event.body["ref"] for event in events], {event.body["pusher"] for event in events}) == (names, {"ada"})
