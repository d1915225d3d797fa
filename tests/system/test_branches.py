"""Branches and suites for real: persons push to Gitolite over ssh, and the server's next look does the rest."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.system.line import state_folder
from tests.worlds.commands import CommandLine
from tests.worlds.hosting import Server, git_server
from tests.worlds.repos import changelog

from distwright.flow.advance import unanswered

pytestmark = pytest.mark.system
TABLES = """
[archive.debian]
kind = "upstream"
suites = ["stable"]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
[archive.petrel]
kind = "own"
origin = "Petrel"
label = "Petrel"
key = { credential = "petrel" }
[suite.devel]
archive = "petrel"
[environment.build]
from = ["debian/stable"]
[image.petrel]
repo = "live"
recipe = "config"
from = ["debian/stable", "petrel/devel"]
tools = "build"
boot_expect = "login:"
[repo.greeter]
package = true
suite = "devel"
environment = "build"
rewind = ["bob"]
maintain = ["ada"]
[repo.live]
protected = ["stable"]
create = ["bob"]
maintain = ["ada"]
"""

_WORK = """
import sys
from distwright.app import open_app
from distwright.cli.watch import TerminalWatcher
app = open_app(sys.argv[1])
app.run_until_idle(TerminalWatcher(app.paths.job_log, follow=False))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a server with two repos, each with a commit in main, and the key of its archive."""
    with state_folder() as folder, git_server(folder) as server:
        server.begin(server.config(TABLES, {"ada": "", "bob": ""}))
        app = server.app
        app.keys.make("petrel", "petrel <petrel@archive.invalid>")
        app.database.close()
        for repo in ("greeter", "live"):
            ada = server.clone("ada", repo, f"{repo}-first")
            ada.commit({"debian/changelog": changelog(repo, "1.0")})
            ada.push("HEAD:main")
        look(server)
        yield server


def look(server: Server) -> list[str]:
    """Do what `worker` does until nothing is left; say what is waited for."""
    subprocess.run(
        [sys.executable, "-c", _WORK, str(server.state)], check=True
    )  # a worker ends what its process began: not sshd
    app = server.app
    try:
        with app.database.read() as tx:
            return [f"{row.event.event.subject}: {row.reason}" for row in unanswered(tx)]
    finally:
        app.database.close()


def branches(server: Server, repo: str) -> dict[str, tuple[str, str]]:
    """Say what `branch list` says: branch -> suite and note."""
    rows = CommandLine(server.state).run("branch", "list", repo, as_json=True).answer
    return {row["branch"]: (row["suite"], row["note"]) for row in rows}


def is_served(server: Server, suite: str) -> bool:
    return (server.state / "public" / "petrel" / "dists" / suite / "InRelease").is_file()


def test_a_pushed_topic_has_a_suite_that_is_served_and_goes_with_it(server: Server) -> None:
    bob = server.clone("bob", "greeter", "topic")
    head = bob.commit({"debian/changelog": changelog("greeter", "1.1")})
    bob.push("HEAD:feature/usb")
    waits = look(server)
    assert branches(server, "greeter")["feature/usb"] == ("petrel/feature-usb", "")
    assert is_served(server, "feature-usb")
    assert [reason for reason in waits if "feature/usb" in reason] == [
        "greeter refs/heads/feature/usb: archive debian has no snapshot yet (distwright archive record debian)"
    ], "the build is ordered as soon as it can be"
    shown = CommandLine(server.state).run("branch", "show", "greeter", "feature/usb", as_json=True).answer
    assert (shown["commit"], shown["base"], shown["packages"]) == (head, "main", [])
    assert [job["title"] for job in shown["jobs"]] == ["publish petrel/feature-usb"]
    bob.push(":feature/usb")
    look(server)
    assert "feature/usb" not in branches(server, "greeter")
    assert not is_served(server, "feature-usb")


def test_what_the_door_cannot_see_has_no_suite_and_is_told_how_to_be_renamed(server: Server) -> None:
    bob = server.clone("bob", "live", "colliding")
    bob.commit({"a": "1"})
    bob.push("HEAD:feature/net")
    assert "would have the suite feature-net, which belongs to branch feature/net" in bob.refused("HEAD:Feature_net")
    look(server)
    other = server.clone("bob", "greeter", "colliding-too")
    other.commit({"a": "1"})
    other.push("HEAD:Feature-Net")
    look(server)
    suite, note = branches(server, "greeter")["Feature-Net"]
    assert suite == ""
    assert "which belongs to branch 'feature/net' of live (rename it: git push ORIGIN refs/heads/Feature-Net:" in note
    other.push("refs/remotes/origin/main:refs/heads/net", ":Feature-Net")
    look(server)
    assert branches(server, "greeter")["net"] == ("petrel/net", "")


def test_a_base_and_a_tag_of_an_image_have_suites_of_their_own(server: Server) -> None:
    ada = server.clone("ada", "live", "bases")
    ada.commit({"config/base_branch": "stable\n"})
    ada.git("tag", "--annotate", "--message", "first", "1.0")
    ada.push("HEAD:stable", "1.0")
    look(server)
    assert branches(server, "live")["stable"] == ("petrel/stable", "")
    rows = CommandLine(server.state).run("suite", "list", "petrel", as_json=True).answer
    found = {row["suite"]: (row["kind"], row["parent"], bool(row["served"])) for row in rows}
    assert found["petrel/stable"] == ("base", "devel", True)
    assert found["petrel/1.0"] == ("release", "stable", True)
