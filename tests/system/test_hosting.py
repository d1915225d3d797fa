"""Git hosting for real: Gitolite behind sshd, driven by the configuration; persons push, and refusals say what helps."""

from collections.abc import Iterator

import pytest
from tests.system.line import state_folder
from tests.worlds.gitolite_rules import may, parsed
from tests.worlds.hosting import Checkout, Server, git_server

from distwright.model.events import EventKind
from distwright.repos.gitolite_tree import CONF, admin_files
from distwright.site.applied import load_applied
from distwright.store.events import events_after
from distwright.tools.git import refs

pytestmark = pytest.mark.system
TABLES = """
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = { credential = "petrel" }
[suite.devel]
archive = "petrel"
[repo.petrel]
public = true
protected = ["release/*"]
write = ["pinbot"]
create = ["@developer"]
rewind = ["bob"]
maintain = ["ada", "pinbot"]
[repo.twin]
private = true
maintain = ["ada"]
"""
PERSONS = {
    "ada": "",
    "bob": 'roles = ["developer"]',
    "carol": 'roles = ["developer"]',
    "eve": "",
    "pinbot": 'only_paths = ["config/APT_snapshots.d/**"]',
}
PIN = "config/APT_snapshots.d/debian/serial"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a server whose main branch has a commit of ada's."""
    with state_folder() as folder, git_server(folder) as server:
        server.begin(server.config(TABLES, PERSONS))
        ada = server.clone("ada", "petrel", "first")
        ada.commit({"debian/rules": "first", PIN: "2026010101"})
        ada.push("HEAD:main")
        yield server


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Give a name that no other test uses."""
    return str(request.node.name).replace("[", "-").rstrip("]")[:60]


def clone(server: Server, person: str, name: str, repo: str = "petrel") -> Checkout:
    return server.clone(person, repo, name)


def heads(server: Server, repo: str = "petrel") -> dict[str, str]:
    return refs(server.app.paths.repo(repo))


def test_a_push_is_an_event_that_names_who_pushed(server: Server, name: str) -> None:
    bob = clone(server, "bob", name)
    commit = bob.commit({"b": "1"})
    bob.push(f"HEAD:feature/{name}")
    app = server.app
    app.take_in()
    with app.database.read() as tx:
        bodies = [stored.event.body for stored in events_after(tx, 0) if stored.event.kind is EventKind.REPO_PUSHED]
    app.database.close()
    [body] = [body for body in bodies if body["ref"] == f"refs/heads/feature/{name}"]
    assert (body["repo"], body["new"], body["pusher"]) == ("petrel", commit, "bob")


def test_nobody_rewinds_a_base_and_is_told_what_to_do(server: Server, name: str) -> None:
    ada = clone(server, "ada", name)
    ada.commit({"a": name})
    ada.push("HEAD:main", "HEAD:release/1")
    before = heads(server)
    ada.git("commit", "--quiet", "--amend", "--message", "another")
    for base in ("main", "release/1"):
        said = ada.refused("--force", f"HEAD:{base}")
        assert (
            f"branch {base} is a base: it is never rewound or deleted. Take a commit back by another: git revert COMMIT"
            in said
        )
    assert "is a base: it is never rewound or deleted" in ada.refused(":release/1")
    assert heads(server) == before


def test_a_tag_is_made_once(server: Server, name: str) -> None:
    ada = clone(server, "ada", name)
    ada.git("tag", "1%1.0")  # DEP-14: of version 1:1.0
    ada.push("1%1.0")
    before = heads(server)
    ada.commit({"a": name})
    ada.git("tag", "--force", "1%1.0")
    assert "tag 1%1.0 is there: tags are never moved or deleted. Make another: git tag -s NAME" in ada.refused(
        "--force", "1%1.0"
    )
    assert "tags are never moved or deleted" in ada.refused(":refs/tags/1%1.0")
    bob = clone(server, "bob", name)
    assert "tags of petrel are made by ada, pinbot. Ask one of them." in bob.refused("HEAD:refs/tags/2.0")
    assert heads(server) == before


def test_topics_are_made_rewound_and_deleted_by_those_who_may(server: Server, name: str) -> None:
    carol = clone(server, "carol", name)
    carol.commit({"c": "1"})
    carol.push(f"HEAD:{name}")
    assert "branch main is a base, to which ada, pinbot push. Push a topic" in carol.refused("HEAD:main")
    carol.git("commit", "--quiet", "--amend", "--message", "another")
    said = carol.refused("--force", f"HEAD:{name}")
    assert "topics are rewound and deleted by ada, bob, pinbot. Push under another name" in said
    bob = clone(server, "bob", name)
    bob.git("commit", "--quiet", "--amend", "--message", "another")
    bob.push("--force", f"HEAD:{name}")
    bob.push(f":{name}")
    assert f"refs/heads/{name}" not in heads(server)
    assert "or eve may not do that with it" in clone(server, "eve", name).refused(f"HEAD:{name}")


def test_two_refs_that_would_share_a_suite_are_refused_by_name(server: Server, name: str) -> None:
    bob = clone(server, "bob", name)
    bob.push("HEAD:feature/foo")
    assert "branch Feature_Foo would have the suite feature-foo, which belongs to branch feature/foo." in bob.refused(
        "HEAD:Feature_Foo"
    )
    assert "branch Devel would have the suite devel, which is configured for branch devel." in bob.refused("HEAD:Devel")
    bob.push("HEAD:devel", "HEAD:feature/foo2")
    both = bob.refused("HEAD:two/a", "HEAD:two_a")
    assert "which belongs to branch two/a" in both
    assert {"refs/heads/two/a", "refs/heads/feature/foo2"} <= heads(server).keys()
    assert "refs/heads/two_a" not in heads(server)


def test_two_such_refs_are_not_pushed_at_once_either(server: Server, name: str) -> None:
    bob = clone(server, "bob", name)
    said = bob.refused("--atomic", "HEAD:one/a", "HEAD:one_a")
    assert "atomic" in said
    assert not {"refs/heads/one/a", "refs/heads/one_a"} & heads(server).keys()


def test_a_robot_changes_only_its_paths(server: Server, name: str) -> None:
    bot = clone(server, "pinbot", name)
    bot.commit({PIN: name})
    bot.push("HEAD:main")
    before = heads(server)
    bot.commit({PIN: "other", "debian/rules": "evil"})
    words = "pinbot may change only config/APT_snapshots.d/** in petrel; these commits change 'debian/rules'."
    assert words in bot.refused("HEAD:main")
    for push in (f"HEAD:{name}", f"HEAD:refs/tags/{name}"):
        assert "it makes" in bot.refused(push) or "made by" in bot.refused(push)
    assert heads(server) == before


def test_a_robot_moves_no_file_away_and_hides_no_commit_under_another(server: Server, name: str) -> None:
    bot = clone(server, "pinbot", name)
    before = heads(server)
    bot.git("mv", "debian/rules", "config/APT_snapshots.d/rules")
    bot.commit({})
    assert "these commits change 'debian/rules'" in bot.refused("HEAD:main")
    bot.git("revert", "--no-edit", "HEAD")
    assert bot.git("diff", "origin/main") == ""
    assert "these commits change 'debian/rules'" in bot.refused("HEAD:main")
    bot.git("reset", "--hard", "--quiet", "origin/main")
    bot.git("checkout", "--quiet", "--orphan", "side")
    bot.commit({"debian/rules": "evil"})
    bot.git("checkout", "--quiet", "main")
    bot.git("merge", "--quiet", "--strategy", "ours", "--allow-unrelated-histories", "--message", "m", "side")
    assert bot.git("diff", "origin/main") == ""
    assert "'debian/rules'" in bot.refused("HEAD:main")
    assert heads(server) == before


def test_a_private_repo_is_told_of_like_one_that_is_not_there(server: Server, name: str) -> None:
    ada = clone(server, "ada", name, "twin")
    ada.commit({"secret": "1"})
    ada.push("HEAD:main")
    answers = [server.git("bob", "clone", server.address(repo), str(server.folder / name)) for repo in ("twin", "none")]
    assert [answer.returncode for answer in answers] == [128, 128]
    twin, nothing = (answer.stderr for answer in answers)
    assert "there is no repo twin here, or bob may not do that with it." in twin
    assert twin.replace("twin", "none") == nothing
    assert server.app.paths.repo("twin").stat().st_mode & 0o077 == 0


def test_gitolites_own_repo_is_nobodys(server: Server) -> None:
    for repo in ("gitolite-admin", "../hosting/.gitolite", "petrel/../twin"):
        answer = server.git("ada", "ls-remote", server.address(repo))
        assert answer.returncode != 0, answer.stdout


def test_gitolite_reads_our_rules_as_the_tests_of_them_do(server: Server) -> None:
    app = server.app
    found = load_applied(app.database, app.objects)
    app.database.close()
    assert found is not None
    rules = parsed(admin_files(found[0], "", "")[CONF].content.decode())
    asked = [
        (repo, user, access, ref)
        for repo in ("petrel", "twin")
        for user in ("ada", "carol", "pinbot", "eve")
        for access in "WC+"
        for ref in ("refs/heads/release/7", "refs/heads/topic", "refs/tags/9")
    ]
    said = server.gitolite_access(asked)
    assert said == [may(rules, *question) for question in asked]
