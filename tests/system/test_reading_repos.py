"""What an outsider can read: public repos, by git over HTTP; of private ones nothing says that they are there."""

import contextlib
import gzip
import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.processes import wait_until
from tests.worlds.repos import commit

from distwright.app import open_app
from distwright.site.applied import apply_config
from distwright.tools.git_http import AT_ONCE

pytestmark = pytest.mark.system
CONFIG = """
format = 1
[site]
name = "Petrel"
[repo.petrel]
public = true
[repo.twin]
private = true
[repo.inner]
[repo.large]
public = true
"""


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """Give an installation with a public repo, a private one, and one that is neither; each with a branch and a tag."""
    with state_folder() as folder:
        app = open_app(str(folder / "state"), create=True)
        apply_config(
            {"distwright.toml": CONFIG}, {}, "0" * 40,
            database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
        )  # fmt: skip
        for repo in ("petrel", "twin", "inner"):
            for number in range(3):
                commit(app.paths, repo, {"a": str(number)}, tag=f"{repo}{number}")
        commit(app.paths, "large", {"a": os.urandom(16 << 20)})
        app.take_in()
        app.database.close()
        yield Line(folder / "state")


@pytest.fixture(scope="module")
def url(line: Line) -> Iterator[str]:
    with line.serving() as url:
        yield url


def git(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    return subprocess.run(["git", *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def asked(address: str, method: str, body: bytes, headers: Mapping[str, str]) -> http.client.HTTPConnection:
    """Send a request; the answer is left to be read."""
    parts = urlsplit(address)
    assert parts.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request(method, f"{parts.path}?{parts.query}", body=body or None, headers=dict(headers))
    return connection


def answer(address: str, method: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    connection = asked(address, method, body, headers or {})
    try:
        given = connection.getresponse()
        return given.status, given.read().decode(errors="replace")
    finally:
        connection.close()


def get(address: str) -> tuple[int, str]:
    return answer(address, "GET")


@pytest.mark.parametrize("protocol", ["0", "2"])
@pytest.mark.parametrize("name", ["petrel", "petrel.git"])
def test_a_public_repo_is_cloned_and_fetched(line: Line, url: str, tmp_path: Path, name: str, protocol: str) -> None:
    done = git("-c", f"protocol.version={protocol}", "clone", f"{url}/repo/{name}", str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c" / "a").read_text() == "2"
    assert git("tag", cwd=tmp_path / "c").stdout.split() == ["petrel0", "petrel1", "petrel2"]
    app = open_app(str(line.state))
    new = commit(app.paths, "petrel", {"a": "2"}, branch=f"new-{name}-{protocol}")
    app.database.close()
    assert git("-c", f"protocol.version={protocol}", "fetch", cwd=tmp_path / "c").returncode == 0
    assert git("rev-parse", f"origin/new-{name}-{protocol}", cwd=tmp_path / "c").stdout.strip() == new


def test_a_shallow_clone_works(url: str, tmp_path: Path) -> None:
    done = git("clone", "--depth=1", f"{url}/repo/petrel.git", str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "c").stdout.strip() == "1"


def test_nothing_is_pushed_over_http(url: str, tmp_path: Path) -> None:
    git("clone", "--quiet", f"{url}/repo/petrel.git", str(tmp_path / "c"))
    done = git("push", "origin", "HEAD:refs/heads/evil", cwd=tmp_path / "c")
    assert done.returncode != 0
    assert "refs/heads/evil" not in git("ls-remote", f"{url}/repo/petrel.git").stdout
    for service in ("git-receive-pack", ""):
        assert get(f"{url}/repo/petrel.git/info/refs?service={service}")[0] == 403
    assert answer(f"{url}/repo/petrel.git/git-receive-pack", "POST", b"0000")[0] in (404, 405)


@pytest.mark.parametrize(
    "name", ["twin", "inner", "none", "gitolite-admin", "..", "%2e%2e%2frepos%2fpetrel", "twin.git.git"]
)
def test_what_is_not_public_is_not_there(url: str, name: str) -> None:
    code, said = get(f"{url}/repo/{name}.git/info/refs?service=git-upload-pack")
    assert code == 404
    assert "refs/heads" not in said
    if name in ("twin", "inner"):
        absent = get(f"{url}/repo/none.git/info/refs?service=git-upload-pack")
        assert (code, said.replace(name, "none")) == absent


def test_no_page_names_a_private_repo(line: Line, url: str) -> None:
    for path in ("/", "/index.json", "/job", "/job.json"):
        assert "twin" not in get(f"{url}{path}")[1], path
    front = json.loads(get(f"{url}/index.json")[1])
    assert front["repos"] == [f"{url}/repo/large.git", f"{url}/repo/petrel.git"]
    assert f"<code>git clone {url}/repo/petrel.git</code>" in get(f"{url}/")[1]
    events = front["events"]
    assert {event["subject"].split(" ")[0] for event in events if event["kind"] == "repo.pushed"} == {
        "petrel",
        "inner",
        "large",
    }


def test_a_request_may_be_packed_and_must_not_be_endless(url: str) -> None:
    address = f"{url}/repo/petrel.git/git-upload-pack"
    kind = {"Content-Type": "application/x-git-upload-pack-request", "Git-Protocol": "version=2"}
    body = b"0014command=ls-refs\n0000"
    plain = answer(address, "POST", body, kind)
    packed = answer(address, "POST", gzip.compress(body), kind | {"Content-Encoding": "gzip"})
    assert plain[0] == 200
    assert "refs/tags/petrel1" in plain[1]
    assert packed == plain
    assert answer(address, "POST", b"0" * (11 << 20), kind)[0] == 413


def gits_in(repo: Path) -> list[Path]:
    """List the processes that are in a repo."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == repo:
                found.append(process)
    return found


def test_who_goes_away_leaves_no_git_and_no_place_taken(line: Line, url: str) -> None:
    head = get(f"{url}/repo/large.git/info/refs?service=git-upload-pack")[1]
    commit_name = next(line for line in head.split("\n") if line.endswith(" refs/heads/main"))[4:44]
    want = f"want {commit_name} no-progress ofs-delta\n"
    body = f"{len(want) + 4:04x}{want}00000009done\n".encode()
    kind = {"Content-Type": "application/x-git-upload-pack-request"}
    repo = line.state / "repos" / "large.git"
    for _ in range(AT_ONCE + 1):
        connection = asked(f"{url}/repo/large.git/git-upload-pack", "POST", body, kind)
        given = connection.getresponse()
        said = given.read(10)
        assert (given.status, said[:8]) == (200, b"0008NAK\n")
        assert gits_in(repo), "it is not at its end yet: nothing is tried here"
        given.close()
        connection.close()
        wait_until(lambda: not gits_in(repo), "git ended with who asked it")
    assert get(f"{url}/repo/large.git/info/refs?service=git-upload-pack")[0] == 200
