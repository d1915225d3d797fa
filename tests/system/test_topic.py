"""A push to a topic of the example, and nothing else: a built package in its overlay, an image with it, a boot, one green page."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.line import EXAMPLE, Line, state_folder

pytestmark = [pytest.mark.system, pytest.mark.full]
TOPIC = "feature/loud"
TIMEOUT_S = 3600
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (
        ("NAME", "Bo"), ("EMAIL", "bo@petrel.example"), ("DATE", "1790856600 +0000"))},
}  # fmt: skip
# What `distwright worker` does, until nothing is left to do.
_WORK = """
import sys
from distwright.app import open_app
from distwright.cli.watch import TerminalWatcher
app = open_app(sys.argv[1])
app.run_until_idle(TerminalWatcher(app.paths.job_log, follow=False))
"""


@dataclass(frozen=True)
class Pushed:
    """A state with Petrel in it, to whose repos somebody pushes from clones."""

    line: Line
    folder: Path

    def git(self, repo: str, *words: str) -> str:
        argv = ["git", "-C", str(self.folder / repo), *words]
        done = subprocess.run(argv, env=_ENVIRONMENT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def clone(self, repo: str) -> Path:
        source = self.line.state / "repos" / f"{repo}.git"
        place = self.folder / repo
        if not place.exists():
            argv = ["git", "-c", "safe.directory=*", "clone", "--quiet", f"file://{source}", str(place)]
            subprocess.run(argv, env=_ENVIRONMENT, check=True, timeout=120)
        return place

    def push(self, repo: str, branch: str, files: dict[str, tuple[str, str]]) -> str:
        """Change words in files of main's newest commit, and push that as a branch; nothing else is done."""
        place = self.clone(repo)
        self.git(repo, "fetch", "--quiet", "origin")
        self.git(repo, "checkout", "--quiet", "-B", branch, "origin/main")
        for name, (old, new) in files.items():
            text = (place / name).read_text()
            assert old in text, name
            (place / name).write_text(text.replace(old, new))
        self.git(repo, "commit", "--quiet", "--all", "-m", "Be loud")
        self.git(repo, "push", "--quiet", "origin", branch)
        return self.git(repo, "rev-parse", "HEAD")

    def work(self) -> None:
        argv = [sys.executable, "-c", _WORK, str(self.line.state)]
        subprocess.run(argv, check=True, timeout=TIMEOUT_S)

    def rows(self, *words: str) -> Any:
        return self.line.answer(*words)

    def stands(self, repo: str, branch: str = TOPIC) -> Any:
        [row] = [row for row in self.rows("branch", "status", repo) if row["branch"] == branch]
        return row


def page(url: str, place: str) -> str:
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        connection.request("GET", place)
        answer = connection.getresponse()
        assert answer.status == 200, place
        return answer.read().decode()


@pytest.fixture(scope="module")
def petrel() -> Iterator[Pushed]:
    with state_folder() as folder:
        line = Line(folder / "state")
        done = line.call("demo", str(EXAMPLE), "--state", str(line.state), timeout_s=TIMEOUT_S)
        assert done.returncode == 0, done.stderr[-3000:]
        yield Pushed(line, folder)


def test_a_topic_of_a_package_ends_in_its_overlay_an_image_and_a_boot(petrel: Pushed) -> None:
    commit = petrel.push("petrel-greeter", TOPIC, {"petrel-greeter.service.in": ("[Unit]\n", "[Unit]\n# of a topic\n")})
    petrel.work()
    stands = petrel.stands("petrel-greeter")
    assert (stands["commit"], stands["state"]) == (commit, "ok"), stands
    shown = petrel.rows("branch", "show", "petrel-greeter", TOPIC)
    [version] = {row["version"] for row in shown["packages"] if row["package"] == "petrel-greeter"}
    assert version.startswith("1.0+1.g")
    assert [suite["suite"] for suite in shown["suites"]] == ["petrel/feature-loud"]
    [image] = [row for row in petrel.rows("image", "list") if "feature-loud" in row["name"]]
    listed = next(Path(image["files"]).glob("*.packages")).read_text()
    assert f"petrel-greeter\t{version}\n" in listed
    boots = [row for row in petrel.rows("job", "list") if row["kind"] == "image.boot" and image["name"] in row["title"]]
    assert [row["state"] for row in boots] == ["ok"]
    with petrel.line.serving() as url:
        for place in (f"/branch/petrel-greeter/{TOPIC}", f"/branch/petrel-greeter/{TOPIC}.json"):
            assert commit in page(url, place)
    bases = [row for row in petrel.rows("image", "list") if "feature" not in row["name"]]
    assert "petrel-greeter\t1.0\n" in next(Path(bases[0]["files"]).glob("*.packages")).read_text(), (
        "the base is as it was"
    )


def test_a_topic_that_breaks_the_build_says_so_and_leaves_all_else(petrel: Pushed) -> None:
    commit = petrel.push(
        "petrel-greeter", "feature/broken", {"Makefile": ("all: petrel-greeter\n", "all: petrel-greeter\n\tfalse\n")}
    )
    petrel.work()
    stands = petrel.stands("petrel-greeter", "feature/broken")
    assert (stands["commit"], stands["state"]) == (commit, "failed"), stands
    shown = petrel.rows("branch", "show", "petrel-greeter", "feature/broken")
    assert shown["packages"] == []


def test_a_topic_of_the_recipe_that_conflicts_with_its_base_is_refused_with_the_paths(petrel: Pushed) -> None:
    path = "images/petrel/includes.chroot/etc/motd"
    place = petrel.clone("petrel")
    first = (place / path).read_text().splitlines()[0]
    petrel.push("petrel", "feature/motd", {path: (first, "of the topic")})
    petrel.push("petrel", "other", {path: (first, "of the base")})
    petrel.git("petrel", "push", "--quiet", "origin", "other:main")
    argv = [
        sys.executable,
        "-c",
        _WORK.replace("app.run_until_idle", "app.take_in() or (lambda *_: None)"),
        str(petrel.line.state),
    ]
    subprocess.run(argv, check=True, timeout=600)
    stands = petrel.stands("petrel", "feature/motd")
    assert stands["state"] == "refused", stands
    events = petrel.rows("event", "list")
    assert any("does not merge" in str(row) and path in str(row) for row in events), events
