"""The end of an embargo where Gitolite serves: the git user brings the branch, and all is as after a push."""

import base64
from collections.abc import Iterator

import pytest
from tests.system.line import state_folder
from tests.worlds.hosting import GIT_USER, Server, git_server
from tests.worlds.web import Browser

from distwright.app import App
from distwright.model.events import EventKind
from distwright.repos.lifting import lift
from distwright.site.readers import give_token
from distwright.store.events import newest_events
from distwright.tools.git import refs
from distwright.web.application import web_application

pytestmark = pytest.mark.system
TABLES = """
[repo.petrel]
public = true
maintain = ["ada"]
[repo.twin]
private = true
private_twin_of = "petrel"
maintain = ["ada"]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with state_folder() as folder, git_server(folder) as server:
        server.begin(server.config(TABLES, {"ada": "", "bob": ""}))
        yield server


def pushes(app: App) -> list[str]:
    with app.database.read() as tx:
        return [row.event.subject for row in newest_events(tx, 9) if row.event.kind is EventKind.REPO_PUSHED]


def test_who_may_read_a_private_repo_reads_it_over_http_too(server: Server) -> None:
    ada = server.clone("ada", "twin", "of-http")
    ada.commit({"b": "1"})
    ada.push("HEAD:refs/heads/fix/secret")
    app = server.app
    token = give_token(app.database, app.config(), "ada", app.now())
    give_token(app.database, app.config(), "bob", app.now())
    web = Browser(web_application(app))
    place = "/repo/twin.git/info/refs?service=git-upload-pack"
    said = [web.get(place, headers=named(name, token)) for name in ("ada", "bob")]
    assert [(answer.status_code, "refs/heads/fix/secret" in answer.text) for answer in said] == [
        (200, True),
        (404, False),
    ]
    assert said[0].headers["Cache-Control"] == "private, no-store"
    app.database.close()


def named(person: str, token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{person}:{token}'.encode()).decode()}"}


def test_what_is_lifted_can_be_fetched_by_everybody_and_pushed_on(server: Server) -> None:
    ada = server.clone("ada", "twin")
    first = ada.commit({"a": "1"})
    ada.push("HEAD:refs/heads/fix/hole")
    app = server.app
    app.take_in()
    assert pushes(app)[0] == "twin refs/heads/fix/hole"
    lifted = lift(app.config(), app.paths, "twin", "fix/hole")
    app.take_in()
    assert (lifted.commit, pushes(app)[0]) == (first, "petrel refs/heads/fix/hole")
    repo = app.paths.repo("petrel")
    assert refs(repo) == {"refs/heads/fix/hole": first}
    assert {path.owner() for path in repo.rglob("*")} == {GIT_USER}
    bob = server.clone("bob", "petrel")
    assert bob.git("rev-parse", "origin/fix/hole").strip() == first
    app.database.close()
