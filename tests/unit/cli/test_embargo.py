"""Commands about what is private: who sees it, tokens, and its end."""

from pathlib import Path

import pytest
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.embargoed import CONFIG, PERSONS
from tests.worlds.repos import commit

from distwright.app import open_app


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Have a public repo, and a fix in its twin."""
    line = command_line(tmp_path, CONFIG.format(folder="/nowhere", persons=PERSONS), ())
    app = open_app(str(line.state))
    commit(app.paths, "greeter", {"README": "1"})
    commit(app.paths, "greeter-twin", {"README": "1"})
    commit(app.paths, "greeter-twin", {"README": "2"}, branch="fix/hole")
    app.database.close()
    return line


def test_lists_say_what_is_private_and_tokens_are_told_once(line: CommandLine) -> None:
    rows = line.run("embargo", "list", as_json=True).answer
    assert [(row["kind"], row["name"], row["twin of"], row["readers"]) for row in rows] == [
        ("archive", "vault", "", ["ada"]),
        ("repo", "greeter-twin", "greeter", ["ada"]),
        ("repo", "notes", "", ["bob"]),
    ]
    token = line.run("reader", "token", "ada").text.splitlines()[0]
    [row] = line.run("reader", "list", as_json=True).answer
    assert (row["person"], row["may see"]) == ("ada", ["archive/vault", "repo/greeter-twin"])
    assert token not in line.run("reader", "list").text
    assert (line.run("reader", "token", "eve").exit_code, line.run("reader", "drop", "bob").exit_code) == (10, 10)
    assert line.run("reader", "drop", "ada").text == "the token of ada counts no more\n"
    assert line.run("reader", "list", as_json=True).answer == []


def test_a_branch_is_lifted_after_it_was_looked_at(line: CommandLine) -> None:
    tried = line.run("embargo", "lift", "greeter-twin", "fix/hole", "--dry-run", as_json=True).answer
    assert (tried["lifted"], tried["repo"], len(tried["commits"])) == (False, "greeter", 1)
    assert [row["branch"] for row in line.run("branch", "status", "greeter", as_json=True).answer] in ([], ["main"])
    done = line.run("embargo", "lift", "greeter-twin", "fix/hole", as_json=True).answer
    assert done == {**tried, "lifted": True}
    rows = line.run("branch", "status", "greeter", as_json=True).answer
    assert {row["branch"]: row["commit"] for row in rows}["fix/hole"] == done["commit"]
    assert line.run("embargo", "lift", "greeter-twin", "gone").exit_code == 10
    assert line.run("embargo", "lift", "notes", "main").exit_code == 3


def test_a_repo_is_opened_by_its_name_and_once(line: CommandLine) -> None:
    assert line.run("embargo", "open", "notes").exit_code == 0
    assert line.run("embargo", "open", "notes").exit_code == 10
    assert line.run("embargo", "open", "greeter").exit_code == 10
