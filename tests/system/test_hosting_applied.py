"""The configuration drives Gitolite: what a hand changed is named and mended, a second apply changes nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.system.line import Line, state_folder
from tests.system.test_hosting import PERSONS, TABLES
from tests.worlds.gitolite_rules import may, parsed
from tests.worlds.hosting import GIT_USER, Server, git_server

from distwright.errors import NotAllowed, NotFound, Refused
from distwright.repos.configured import hosting_changes
from distwright.repos.gitolite_tree import CONF, admin_files
from distwright.tools.sandbox import SANDBOX_USER

pytestmark = pytest.mark.system
MASTER = "refs/heads/master"


@pytest.fixture
def server() -> Iterator[Server]:
    with state_folder() as folder, git_server(folder) as server:
        server.begin(server.config(TABLES, PERSONS))
        yield server


def drift(server: Server) -> list[str]:
    app = server.app
    try:
        return [
            f"{change.action} {change.name}: {change.detail}" for change in hosting_changes(app.config(), app.paths)
        ]
    finally:
        app.database.close()


def may_read(server: Server, person: str, repo: str) -> bool:
    return server.git(person, "ls-remote", server.address(repo)).returncode == 0


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Read all files of a folder with their times; but Gitolite logs each question."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and "logs" not in path.parts
    )
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def commit_by_hand(server: Server, path: str, text: str) -> None:
    """Change a file of gitolite-admin as somebody with a shell on the server does, and let Gitolite take it."""
    work = server.state / "hosting" / "work"
    admin = str(server.state / "repos" / "gitolite-admin.git")
    server.gitolite("git", "clone", "--quiet", admin, str(work))
    server.gitolite("sh", "-c", f'mkdir -p "$(dirname {path})" && cat >{path}', stdin=text, cwd=work)
    server.gitolite("git", "add", path, cwd=work)
    server.gitolite("git", "commit", "--quiet", "--message", "by hand", cwd=work)
    server.gitolite("gitolite", "push", "--quiet", "origin", "master", cwd=work)
    server.gitolite("rm", "-rf", str(work))


def a_rule(server: Server) -> str:
    commit_by_hand(server, "conf/gitolite.conf", "repo twin\n    RW+ = eve\nrepo petrel\n    RW+ = eve\n")
    assert may_read(server, "eve", "twin")
    return "gitolite-admin/conf/gitolite.conf: is not as in commit"


def a_key_in_the_repo(server: Server) -> str:
    commit_by_hand(server, "keydir/ada@9.pub", server.public_key("mallory") + "\n")
    assert may_read(server, "mallory", "twin")
    return "gitolite-admin/keydir/ada@9.pub: is not as in commit"


def a_key_on_the_disk(server: Server) -> str:
    hosting = server.state / "hosting"
    key = server.public_key("mallory")
    server.gitolite("sh", "-c", f"cat >{hosting}/.gitolite/keydir/ada@9.pub", stdin=f"{key}\n")
    server.gitolite("gitolite", "trigger", "POST_COMPILE")
    assert may_read(server, "mallory", "twin")
    return f"{hosting}/.gitolite/keydir/ada@9.pub: is not as pushed"


def a_key_for_a_shell(server: Server) -> str:
    keys = server.state / "hosting" / ".ssh" / "authorized_keys"
    server.gitolite("sh", "-c", f"cat >>{keys}", stdin=server.public_key("mallory") + "\n")
    return f"{keys}: is not as written"


def another_file_of_keys(server: Server) -> str:
    keys = server.state / "hosting" / ".ssh" / "authorized_keys2"
    server.gitolite("sh", "-c", f"cat >{keys} && chmod 600 {keys}", stdin=server.public_key("mallory") + "\n")
    return f"{keys}: is not ours"


def a_compiled_rule(server: Server) -> str:
    compiled = server.state / "repos" / "twin.git" / "gl-conf"
    server.gitolite("sed", "-i", "s/'ada'/'eve'/", str(compiled))
    assert may_read(server, "eve", "twin")
    return "gl-conf of a repo is not"


def no_hook(server: Server) -> str:
    server.gitolite("rm", str(server.state / "repos" / "petrel.git" / "hooks" / "update"))
    return "petrel: its hook does not ask Gitolite"


def another_hook(server: Server) -> str:
    hook = server.state / "hosting" / ".gitolite" / "hooks" / "common" / "update"
    server.gitolite("sh", "-c", f"cat >{hook}", stdin="#!/bin/sh\nexit 0\n")
    return "or a hook, or gl-conf of a repo is not"


def another_rc(server: Server) -> str:
    rc = server.state / "hosting" / ".gitolite.rc"
    server.gitolite("sh", "-c", f"cat >>{rc}", stdin="$RC{UMASK} = 0;\n1;\n")
    return f"{rc}: is not as written"


def a_program(server: Server) -> str:
    program = server.state / "hosting" / ".gitolite" / "local" / "VREF" / "distwright-suites"
    server.gitolite("sh", "-c", f"cat >{program}", stdin="#!/bin/sh\nexit 0\n")
    return f"{program}: is not as pushed"


HANDS = [
    a_rule,
    a_key_in_the_repo,
    a_key_on_the_disk,
    a_key_for_a_shell,
    another_file_of_keys,
    a_compiled_rule,
    no_hook,
    another_hook,
    another_rc,
    a_program,
]


def test_what_hands_changed_is_named_and_mended(server: Server) -> None:
    text = server.config(TABLES, PERSONS)
    for hand in HANDS:
        named = _change(server, hand)
        found = drift(server)
        assert [line for line in found if named in line], (hand.__name__, found)
        changes = server.apply(text)
        assert [f"{change.action} {change.name}: {change.detail}" for change in changes] == found
        assert drift(server) == []
        assert may_read(server, "ada", "twin"), hand.__name__
        assert [name for name in ("eve", "mallory") if may_read(server, name, "twin")] == [], hand.__name__


def _change(server: Server, hand: Callable[[Server], str]) -> str:
    server.public_key("mallory")
    return hand(server)


def test_commands_name_what_hands_changed_and_where_repos_are(server: Server) -> None:
    line = Line(server.state)
    folder = server.folder / "config"
    folder.mkdir()
    (folder / "distwright.toml").write_text(server.config(TABLES, PERSONS))
    place = no_hook(server).partition(":")[0]
    row = {"action": "mend", "table": "hosting", "name": place, "detail": "its hook does not ask Gitolite"}
    assert line.answer("config", "plan", "--config", str(folder)) == [row]
    health = json.loads(line.call("doctor", "--state", str(server.state), "--json").stdout)
    [said] = [check for check in health if check["check"] == "hosting"]
    assert (said["state"], said["what"]) == ("wrong", f"{place}: its hook does not ask Gitolite")
    assert line.answer("config", "init", str(folder)) == [row]
    assert line.answer("config", "plan", "--config", str(folder)) == []
    served = f"ssh://{GIT_USER}@HOST"
    repos = {row["repo"]: (row["address"], row["public"]) for row in line.answer("repo", "list")}
    assert repos == {"petrel": (f"{served}/petrel", "URL/repo/petrel.git"), "twin": (f"{served}/twin", None)}


def test_gitolite_begins_when_it_is_told_to_and_not_before() -> None:
    with state_folder() as folder:
        server = Server(folder)
        line = Line(server.state)
        server.apply(server.config(TABLES, PERSONS))
        assert not (server.state / "hosting").exists()
        assert drift(server) == []
        for _ in range(2):
            done = line.call("repo", "host", "--state", str(server.state))
            assert (done.returncode, done.stdout) == (0, f"Gitolite serves 2 repos at the login of {GIT_USER}\n")
            assert drift(server) == []
        assert server.gitolite_access([("twin", "ada", "R", "refs/heads/main")]) == [True]
        nobody = server.config(TABLES, PERSONS).replace(f'git_user = "{GIT_USER}"\n', "")
        server.apply(nobody)
        done = line.call("repo", "host", "--state", str(server.state))
        assert (done.returncode, "names no git user" in done.stderr) == (10, True)


def test_a_place_that_gitolite_cannot_live_in_stays_as_it_is() -> None:
    with state_folder() as folder:
        server = Server(folder / "a b")
        server.folder.mkdir()
        with pytest.raises(NotAllowed, match="Gitolite cannot live below"):
            server.begin(server.config(TABLES, PERSONS))
        assert not (server.state / "hosting").exists()
        assert server.apply(server.config(TABLES, PERSONS)) == []


def test_another_hook_is_mended_by_another_configuration_too(server: Server) -> None:
    another_hook(server)
    server.apply(server.config(TABLES, PERSONS | {"frank": ""}))
    assert drift(server) == []
    ada = server.clone("ada", "petrel")
    ada.commit({"a": "1"})
    ada.push("HEAD:main")
    carol = server.clone("carol", "petrel")
    carol.commit({"a": "2"})
    assert "branch main is a base" in carol.refused("HEAD:main")


def test_a_second_apply_changes_nothing(server: Server) -> None:
    before = everything(server.state / "hosting") | everything(server.state / "repos")
    assert server.apply(server.config(TABLES, PERSONS)) == []
    assert everything(server.state / "hosting") | everything(server.state / "repos") == before


def test_who_is_gone_from_the_tables_is_let_in_no_more(server: Server) -> None:
    assert may_read(server, "eve", "petrel")
    without = {name: more for name, more in PERSONS.items() if name != "eve"}
    changes = server.apply(server.config(TABLES, without))
    assert [(change.action, change.table, change.name) for change in changes] == [("remove", "person", "eve")]
    assert not may_read(server, "eve", "petrel")
    more = TABLES.replace('maintain = ["ada"]', 'maintain = ["ada"]\nread = ["bob"]')
    server.apply(server.config(more, without))
    assert may_read(server, "bob", "twin")


def test_a_repo_that_is_gone_from_the_tables_is_closed_and_stays(server: Server) -> None:
    head, twin = TABLES.split("[repo.twin]")
    assert 'maintain = ["ada"]' in twin
    server.apply(server.config(head, PERSONS))
    assert not may_read(server, "ada", "twin")
    assert (server.state / "repos" / "twin.git" / "HEAD").exists()


def test_a_configuration_that_gitolite_does_not_take_leaves_the_former_one_in_force(server: Server) -> None:
    conf = server.state / "hosting" / ".gitolite" / "conf"
    admin = server.state / "repos" / "gitolite-admin.git"
    before = server.gitolite("git", "-C", str(admin), "rev-parse", MASTER)
    without = {name: more for name, more in PERSONS.items() if name != "eve"}
    # A folder where Gitolite writes what it compiles: as a full disk, it stops it half-way.
    server.gitolite("mkdir", str(conf / "gitolite.conf-compiled.pm.new"))
    with pytest.raises(Refused, match="Gitolite does not take this configuration"):
        server.apply(server.config(TABLES.replace('rewind = ["bob"]', ""), without))
    assert server.gitolite("git", "-C", str(admin), "rev-parse", MASTER) == before
    assert may_read(server, "eve", "petrel")
    server.gitolite("rmdir", str(conf / "gitolite.conf-compiled.pm.new"))
    server.apply(server.config(TABLES, without))
    assert drift(server) == []
    assert not may_read(server, "eve", "petrel")


def test_odd_names_are_what_they_are(server: Server) -> None:
    """Gitolite takes names of repos for regular expressions, cuts endings off, and knows daemon, gitweb and CREATOR."""
    repos, persons = (
        ("g++", "a.b", "axb", "00", "x-y+z"),
        ("all", "daemon", "gitweb", "creator", "a.pub", "a.b", "axb", "u+v"),
    )
    tables = "".join(
        f'[repo."{repo}"]\nprivate = true\nprotected = ["x/USER/y", "v?.*"]\nmaintain = ["{person}"]\n'
        for repo, person in zip(repos, persons[3:], strict=True)
    )
    text = server.config(tables, {f'"{person}"': "" for person in persons})
    server.apply(text)
    assert drift(server) == []
    app = server.app
    rules = parsed(admin_files(app.config(), "", "")[CONF].content.decode())
    app.database.close()
    refs = ("refs/heads/x/USER/y", "refs/heads/x/a.b/y", "refs/heads/v1.2", "refs/heads/v12")
    asked = [(repo, person, access, ref) for repo in repos for person in persons for access in "W+" for ref in refs]
    said = server.gitolite_access(asked)
    assert said == [may(rules, *question) for question in asked]
    assert {(repo, person) for (repo, person, _, _), answer in zip(asked, said, strict=True) if answer} == set(
        zip(repos, persons[3:], strict=True)
    )


def test_the_git_user_is_one_that_may_see_repos(server: Server) -> None:
    text = server.config(TABLES, PERSONS)
    for user, error in ((SANDBOX_USER, NotAllowed), ("root", NotAllowed), ("no-such-user", NotFound)):
        with pytest.raises(error, match=user):
            server.apply(text.replace(f'git_user = "{GIT_USER}"', f'git_user = "{user}"'))
    assert drift(server) == []
