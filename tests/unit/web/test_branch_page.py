"""The page of a branch: the state, stage by stage; of public repos alone, and nothing that somebody pushed is run."""

from pathlib import Path

import pytest
from tests.worlds.commands import CONFIG, CommandLine, command_line
from tests.worlds.repos import commit
from tests.worlds.web import Browser

from distwright.app import App, open_app
from distwright.jobs.lease import Ending, claim_next, end_attempt
from distwright.jobs.order import JobOrder, place_order
from distwright.jobs.step import KindName
from distwright.model.branches import HEADS, RefCommit
from distwright.model.outcomes import Outcome
from distwright.site.applied import apply_config
from distwright.store.schema import events, private_names, private_objects
from distwright.web.application import web_application

TOPIC = "feature/<b>bold"
TABLES = """
[repo.live]
public = true
[repo.closed]
[repo.twin]
private = true
"""


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Three repos with a topic each, of which a job failed and another waits."""
    line = command_line(tmp_path)
    app = open_app(str(line.state))
    files = {"distwright.toml": CONFIG + TABLES}
    apply_config(files, {}, "1" * 40, database=app.database, objects=app.objects, paths=app.paths, now=app.now())
    for repo in ("live", "closed", "twin"):
        commit(app.paths, repo, {"README": repo})
        place_jobs(app, repo, commit(app.paths, repo, {"README": f"topic of {repo}"}, branch=TOPIC))
    app.take_in()
    app.database.close()
    return line


def place_jobs(app: App, repo: str, tip: str) -> None:
    commits = (RefCommit(repo, f"{HEADS}{TOPIC}", tip),)
    for kind in ("image.build", "image.boot"):
        inputs = {"image": tip}  # nothing here names the repo: whose commits it is for says what it is of
        order = JobOrder(KindName(kind, 1), inputs, kind, 50 if kind == "image.build" else 40, commits=commits)
        with app.database.write() as tx:
            place_order(tx, order, app.now())
        if kind == "image.build":
            job = claim_next(app.database, ["local"], "somebody", app.now())
            assert job is not None
            end_attempt(app.database, job, Ending(Outcome.FAILED, "no <i>kernel"), app.now())


@pytest.fixture
def web(line: CommandLine) -> Browser:
    return Browser(web_application(open_app(str(line.state))))


def test_page_json_and_command_say_the_same(line: CommandLine, web: Browser) -> None:
    document = web.get(f"/branch/live/{TOPIC}.json").json()
    assert document == line.run("branch", "status", "live", TOPIC, as_json=True).answer
    assert (document["state"], document["reason"], document["base"]) == ("failed", "build: no <i>kernel", "main")
    assert [(stage["stage"], stage["state"], stage["job"]) for stage in document["stages"]] == [
        ("build", "failed", 1),
        ("rebuild", "nothing", None),
        ("tests", "running", 2),
        ("checks", "nothing", None),
    ]
    rows = web.get("/branch.json").json()
    assert rows == line.run("branch", "status", "live", as_json=True).answer
    assert [(row["branch"], row["state"]) for row in rows] == [(TOPIC, "failed"), ("main", "nothing")]


def test_page_shows_text_from_outside_as_text(web: Browser) -> None:
    for path in ("/branch", "/branch/live/feature/%3Cb%3Ebold"):
        answer = web.get(path)
        assert answer.status_code == 200
        assert ("&lt;b&gt;bold" in answer.text, "<b>" in answer.text, "<i>" in answer.text) == (True, False, False)
    assert "distwright branch status live &#39;feature/&lt;b&gt;bold&#39;" in answer.text
    assert 'href="/job/2"' in answer.text


def test_repos_that_are_not_public_have_no_page_and_no_word_says_that_they_are_there(web: Browser) -> None:
    assert {row["repo"] for row in web.get("/branch.json").json()} == {"live"}
    said = {}
    for repo in ("closed", "twin", "gone"):
        answer = web.get(f"/branch/{repo}/main")
        said[repo] = (answer.status_code, answer.text.replace(repo, "REPO"))
    assert said["closed"] == said["twin"] == said["gone"]
    assert said["gone"][0] == 404
    assert web.get("/branch/live/gone").status_code == 404
    front = web.get("/").text
    assert [job["job"] for job in web.get("/job.json").json()] == [4, 3, 2, 1], "not those of the twin"
    assert ("twin" in front, "live feature/&lt;b&gt;bold: failed" in front) == (False, True)


def test_command_line_says_how_a_branch_stands(line: CommandLine) -> None:
    text = line.run("branch", "status", "live", TOPIC).text.splitlines()
    assert text[0].startswith(f"live {TOPIC}: failed since 20")
    assert text[0].endswith(": build: no <i>kernel")
    assert [row.partition(" since")[0] for row in text[-4:]] == [
        "build: failed", "rebuild: nothing", "tests: running", "checks: nothing",
    ]  # fmt: skip
    assert "closed" in line.run("branch", "status", "closed", as_json=True).text, "who is on the machine may see it"
    assert line.run("branch", "status", "twin", as_json=True).answer != [], "all of it"
    gone = line.run("branch", "status", "live", "gone")
    assert (gone.exit_code, gone.said) == (10, "no branch 'gone' of 'live' is known")
    assert line.run("branch", "status", "gone").exit_code == 10


def test_command_line_lists_what_is_built_and_says_what_is_ready(line: CommandLine) -> None:
    rows = line.run("branch", "active", "live", "--days", "3650", as_json=True).answer
    assert [(row["branch"], row["base"]) for row in rows] == [(TOPIC, False), ("main", True)]
    assert [row["branch"] for row in line.run("branch", "active", "live", "--days", "0", as_json=True).answer] == [
        "main"
    ]
    assert line.run("branch", "active", "gone").exit_code == 10
    done = line.run("branch", "ready", "live", TOPIC)
    assert (done.exit_code, done.text) == (0, f"live {TOPIC} is ready for review\n")
    assert line.run("branch", "ready", "live", TOPIC).text.endswith(", as it was before\n")
    shown = line.run("branch", "status", "live", TOPIC, as_json=True).answer
    assert (shown["ready"], shown["ready by"] != "") == (True, True)
    assert line.run("job", "list", as_json=True).answer != []
    assert line.run("branch", "ready", "live", TOPIC, "--withdraw", as_json=True).answer["changed"]
    assert line.run("branch", "ready", "live", "main").exit_code == 3


def test_signs_that_turn_the_line_around_are_written_out(line: CommandLine, web: Browser) -> None:
    app = open_app(str(line.state))
    name = "main\u202egpj"
    commit(app.paths, "live", {"README": "x"}, branch=name)
    app.take_in()
    app.database.close()
    for text in (web.get("/branch").text, web.get("/").text, line.run("branch", "list", "live").text):
        assert ("main\\u202egpj" in text, "\u202e" in text) == (True, False)
    page = web.get(f"/branch/live/{name}")
    assert (page.status_code, "main\\u202egpj" in page.text, "\u202e" in page.text) == (200, True, False)
    assert web.get(f"/branch/live/{name}.json").json()["branch"] == name
    shown = line.run("branch", "status", "live", name)
    assert (shown.exit_code, "\u202e" in shown.text) == (0, False)
    assert line.run("branch", "status", "live", name, as_json=True).answer["branch"] == name


def test_branch_called_like_a_json_page_has_a_page_and_json_of_its_own(line: CommandLine, web: Browser) -> None:
    app = open_app(str(line.state))
    for name in ("data", "data.json"):
        commit(app.paths, "live", {"README": name}, branch=name)
    app.take_in()
    app.database.close()
    listed = web.get("/branch").text
    for name, page in (("data", "/branch/live/data"), ("data.json", "/branch/live/data.json/")):
        assert f'href="{page}"' in listed
        found = web.get(page)
        assert (found.status_code, f"distwright branch status live {name}<" in found.text) == (200, True), page
        assert web.get(f"/branch/live/{name}.json").json()["branch"] == name


def test_what_an_older_version_told_of_a_private_repo_is_hidden_from_the_start(line: CommandLine) -> None:
    app = open_app(str(line.state))
    with app.database.write() as tx:  # as migration 0010 leaves it
        for table in (private_names, private_objects):
            tx.connection.execute(table.delete())
        tx.connection.execute(events.update().values(embargo=""))
    assert "twin" not in Browser(web_application(app)).get("/").text
