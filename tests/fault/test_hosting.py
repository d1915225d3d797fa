"""Kill -9 while Gitolite is told something, and while somebody pushes: nobody is let in, nothing is lost."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.line import DISTWRIGHT, state_folder
from tests.system.test_hosting import PERSONS, TABLES
from tests.worlds.hosting import Checkout, Server, git_server

from distwright.model.events import EventKind
from distwright.repos.configured import hosting_changes, remove_leftovers
from distwright.store.events import events_after
from distwright.store.refs import refs_of
from distwright.tools.git import git, refs

pytestmark = pytest.mark.system
KILLS = [4, pytest.param(24, marks=pytest.mark.full)]
OTHER_TABLES = TABLES.replace('maintain = ["ada"]', 'maintain = ["carol"]').replace(
    'rewind = ["bob"]', 'rewind = ["eve"]'
)
OTHER_PERSONS = {name: more for name, more in PERSONS.items() if name != "bob"}
QUESTIONS = [
    (repo, name, access, "refs/heads/topic") for repo in ("petrel", "twin") for name in PERSONS for access in "RW+"
]


@pytest.fixture
def server() -> Iterator[Server]:
    with state_folder() as folder, git_server(folder) as server:
        server.begin(server.config(TABLES, PERSONS))
        yield server


def applying(server: Server, tables: str, persons: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Begin to apply a configuration in a pid namespace: who kills the process kills all that it began."""
    folder = server.folder / "config"
    folder.mkdir(exist_ok=True)
    (folder / "distwright.toml").write_text(server.config(tables, persons))
    alone = [
        "unshare",
        *([] if os.geteuid() == 0 else ["--user", "--map-current-user"]),
        "--pid",
        "--fork",
        "--kill-child",
    ]
    argv = [*alone, str(DISTWRIGHT), "config", "init", str(folder), "--state", str(server.state)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answers(server: Server) -> list[bool]:
    """Say what each may do, as Gitolite says; and that sshd lets in whom both configurations name."""
    assert server.git("ada", "ls-remote", server.address("petrel")).returncode == 0
    return server.gitolite_access(QUESTIONS)


def drift(server: Server) -> list[str]:
    app = server.app
    try:
        return [str(change) for change in hosting_changes(app.config(), app.paths)]
    finally:
        app.database.close()


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_apply_lets_nobody_in_and_the_next_one_ends_it(server: Server, kills: int) -> None:
    first, began = answers(server), time.monotonic()
    assert applying(server, OTHER_TABLES, OTHER_PERSONS).wait() == 0
    took_s, second = time.monotonic() - began, answers(server)
    assert [one for one in zip(first, second, strict=True) if one == (True, False)]
    assert [one for one in zip(first, second, strict=True) if one == (False, True)]
    killed = 0
    for number in range(kills):
        assert applying(server, TABLES, PERSONS).wait() == 0
        assert answers(server) == first
        process = applying(server, OTHER_TABLES, OTHER_PERSONS)
        time.sleep(took_s * (number + 0.5) / kills)
        process.kill()
        killed += process.wait() != 0
        allowed = [{one, two} for one, two in zip(first, second, strict=True)]
        assert all(answer in either for answer, either in zip(answers(server), allowed, strict=True)), number
        assert applying(server, OTHER_TABLES, OTHER_PERSONS).wait() == 0
        assert answers(server) == second
        assert drift(server) == []
    assert killed, "none was killed: nothing is tried here"


def test_an_apply_that_loses_its_first_process_is_ended_by_the_next_one(server: Server) -> None:
    folder = server.folder / "config"
    folder.mkdir()
    (folder / "distwright.toml").write_text(server.config(OTHER_TABLES, OTHER_PERSONS))
    argv = [str(DISTWRIGHT), "config", "init", str(folder), "--state", str(server.state)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = next((server.state / "hosting" / ".gitolite" / "logs").iterdir())
    seen = log.stat().st_size
    while log.stat().st_size == seen and process.poll() is None:  # until Gitolite has begun
        time.sleep(0.005)
    process.kill()
    process.wait()
    server.apply(server.config(OTHER_TABLES, OTHER_PERSONS))
    assert drift(server) == []


def test_an_apply_that_was_killed_when_git_had_moved_the_ref_is_ended_by_the_next_one(server: Server) -> None:
    """Gitolite's index still has the key of who is gone; `gitolite setup` would commit what it finds there."""
    with_bob, without = (
        server.config(TABLES, PERSONS),
        server.config(TABLES, OTHER_PERSONS).replace('rewind = ["bob"]', ""),
    )
    admin = str(server.state / "repos" / "gitolite-admin.git")
    server.apply(without)
    commit = server.gitolite("git", "-C", admin, "rev-parse", "master").strip()
    server.apply(with_bob)
    server.gitolite("git", "-C", admin, "update-ref", "refs/heads/master", commit)
    server.apply(without)
    assert drift(server) == []
    assert server.git("bob", "ls-remote", server.address("petrel")).returncode != 0


def _kill_session(server: Server) -> None:
    """Kill what serves a person: every process below sshd."""
    found = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    below = {server.sshd}
    while more := {pid for pid, parent in found.items() if parent in below} - below:
        below |= more
    for pid in below - {server.sshd}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def pushed(server: Server) -> list[tuple[str, str, str]]:
    """Take in what was pushed; give each update of petrel, and see that what is recorded is what is there."""
    app = server.app
    try:
        app.take_in()
        with app.database.read() as tx:
            bodies = [stored.event.body for stored in events_after(tx, 0) if stored.event.kind is EventKind.REPO_PUSHED]
            assert refs_of(tx, "petrel") == refs(app.paths.repo("petrel"))
        return [(str(body["ref"]), str(body["old"]), str(body["new"])) for body in bodies if body["repo"] == "petrel"]
    finally:
        app.database.close()


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_push_is_done_or_not_and_its_event_is_never_lost(server: Server, kills: int) -> None:
    ada = server.clone("ada", "petrel")
    ada.commit({"a": "0"})
    began = time.monotonic()
    ada.push("HEAD:main")
    took_s = time.monotonic() - began
    for number in range(kills):
        commit = ada.commit({"a": str(number + 1)})
        _push_killed(server, ada, took_s * (number + 0.5) / kills)
        repo = server.app.paths.repo("petrel")
        git(repo, "fsck", "--no-dangling", "--connectivity-only")
        updates = pushed(server)
        _chain(updates, refs(repo)["refs/heads/main"])
        ada.push("HEAD:main")
        _chain(pushed(server), commit)


def _push_killed(server: Server, checkout: Checkout, delay_s: float) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(server.folder), "GIT_SSH_COMMAND": server.ssh(checkout.person)}
    argv = ["git", "push", "--quiet", "origin", "HEAD:main"]
    with subprocess.Popen(argv, cwd=checkout.place, env=environment, stderr=subprocess.DEVNULL) as process:
        time.sleep(delay_s)
        _kill_session(server)
        process.wait(30)


def _chain(updates: list[tuple[str, str, str]], end: str) -> None:
    """See that the updates of main lead from one to the next, and to the end, each once."""
    main = [(old, new) for ref, old, new in updates if ref == "refs/heads/main"]
    assert [old for old, _ in main[1:]] == [new for _, new in main[:-1]]
    assert main[-1][1] == end


def test_what_killed_pushes_left_is_removed_when_it_is_old(server: Server) -> None:
    ada = server.clone("ada", "petrel")
    ada.commit({"a": "0"})
    ada.push("HEAD:main")
    lock = server.state / "repos" / "petrel.git" / "refs" / "heads" / "main.lock"
    half = server.state / "run" / "spool" / ".new.1"
    server.gitolite("touch", str(lock), str(half))
    ada.commit({"a": "1"})
    assert "main.lock': File exists" in ada.refused("HEAD:main")
    app = server.app
    remove_leftovers(app.config(), app.paths, app.now())
    assert lock.exists()
    assert half.exists()
    server.gitolite("touch", "--date=-2 hours", str(lock), str(half))
    remove_leftovers(app.config(), app.paths, app.now())
    app.database.close()
    assert not lock.exists()
    assert not half.exists()
    ada.push("HEAD:main")
