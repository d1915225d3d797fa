"""Pushes: every ref update becomes one event, whether its hook ran or not; nothing about it can stop a push."""

import subprocess
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
    NOTHING,
    RefUpdate,
    ref_updates,
    report_unreadable,
    spooled_pushes,
    take_in_pushes,
)
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
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for argv in (
        ("git", "init", "--quiet", "--initial-branch=main", str(work)),
        ("git", "-C", str(work), *who, "commit", "--quiet", "--allow-empty", "--message", "first"),
        ("git", "-C", str(work), "tag", "1.0"),
    ):
        subprocess.run(argv, env=environment, check=True)
    return work


def push(work: Path, target: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(work.parent)}
    argv = ["git", "-C", str(work), "push", "--quiet", str(target), "main", "1.0"]
    return subprocess.run(argv, env=environment, capture_output=True, check=False)


def test_a_real_push_spools_once_and_the_spool_is_emptied_when_it_is_taken_in(
    context: WorldContext, tmp_path: Path
) -> None:
    target = make_repo(context.paths, "live", "main")
    assert push(clone_with_commit(tmp_path), target).returncode == 0
    assert spooled_pushes(context.paths.spool) == 1
    [file] = context.paths.spool.iterdir()
    head = refs(target)[MAIN]
    assert file.read_text().splitlines() == ["live", f"{NOTHING} {head} {MAIN}", f"{NOTHING} {head} {TAG}"]
    assert take_in(context) == 2
    assert list(context.paths.spool.iterdir()) == []


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
    assert line.startswith(r"repo live: 'refs/heads/caf\udce9' is not UTF-8 and is passed over; rename it: git -C ")


def test_a_folder_or_link_in_the_spool_is_left_alone_and_stops_nothing(context: WorldContext) -> None:
    commit(context.paths, "live", {"a": "1"})
    (context.paths.spool / "x.push").mkdir()
    (context.paths.spool / "y.push").symlink_to("x.push")
    (context.paths.spool / "z.push").write_text("live\n")
    assert spooled_pushes(context.paths.spool) == 1
    assert take_in(context) == 1
    assert sorted(path.name for path in context.paths.spool.iterdir()) == ["x.push", "y.push"]
