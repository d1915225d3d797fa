"""Repos that are kept at another forge: real git over HTTP, from a second installation that plays the forge; and a worse one."""

import hashlib
import hmac
import http.client
import json
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.system.line import Line, state_folder
from tests.worlds.repos import commit

from distwright.app import App, open_app
from distwright.model.events import EventKind
from distwright.site.applied import apply_config
from distwright.store.events import events_after
from distwright.store.locks import locked
from distwright.tools.git import git, refs
from distwright.tools.git_pack import LOOSE_LIMIT

pytestmark = pytest.mark.system
SITE = 'format = 1\n[site]\nname = "Petrel"\n'


def installation(folder: Path, tables: str) -> App:
    app = open_app(str(folder), create=True)
    apply_config(
        {"distwright.toml": SITE + tables}, {}, "0" * 40,
        database=app.database, objects=app.objects, paths=app.paths, now=datetime.now(UTC),
    )  # fmt: skip
    return app


@dataclass(frozen=True)
class Both:
    """A forge with a repo, served at `url`, and an installation that fetches it."""

    forge: App
    url: str
    here: App

    @property
    def line(self) -> Line:
        return Line(self.here.paths.root)

    def theirs(self) -> dict[str, str]:
        return refs(self.forge.paths.repo("petrel"))

    def ours(self) -> dict[str, str]:
        return refs(self.here.paths.repo("petrel"))

    def change(self, content: str, branch: str = "main") -> str:
        return commit(self.forge.paths, "petrel", {"a": content}, branch=branch)

    def fetch(self) -> dict[str, object]:
        done = self.line.call("repo", "fetch", "petrel", "--state", str(self.here.paths.root), "--json")
        [row] = json.loads(done.stdout)
        return {**row, "exit": done.returncode}

    def events(self, kind: EventKind) -> list[Mapping[str, object]]:
        with self.here.database.read() as tx:
            return [stored.event.body for stored in events_after(tx, 0) if stored.event.kind is kind]

    def pushes(self) -> list[tuple[object, object]]:
        return [(body["ref"], body["new"]) for body in self.events(EventKind.REPO_PUSHED)]


def elsewhere(url: str) -> str:
    return f'[repo.petrel]\nurl = "{url}"\nwebhook = {{ credential = "hook" }}\n[repo.hosted]\n'


@pytest.fixture
def both() -> Iterator[Both]:
    with state_folder() as folder:
        forge = installation(folder / "forge", "[repo.petrel]\npublic = true\n")
        commit(forge.paths, "petrel", {"a": "1"}, tag="1.0")
        with Line(folder / "forge").serving() as base:
            url = f"{base}/repo/petrel.git"
            yield Both(forge, url, installation(folder / "here", elsewhere(url)))


def test_branches_and_tags_come_as_if_they_were_pushed_here(both: Both) -> None:
    both.change("2", branch="feature/two")
    assert both.fetch()["message"] == "petrel: 3 refs changed"
    assert both.ours() == both.theirs()
    assert sorted(both.pushes()) == sorted(both.theirs().items())
    assert both.fetch()["message"] == "petrel: nothing new"
    head = both.change("3")
    both.fetch()
    assert both.pushes()[-1] == ("refs/heads/main", head)


def test_branches_go_and_are_rewound_with_theirs_but_tags_stay_what_they_are(both: Both) -> None:
    both.change("2", branch="topic")
    both.fetch()
    was = both.ours()
    repo = both.forge.paths.repo("petrel")
    git(repo, "update-ref", "refs/heads/main", both.change("other", branch="rewound"))
    git(repo, "update-ref", "-d", "refs/heads/topic")
    git(repo, "tag", "-f", "1.0", "refs/heads/rewound")
    for news in ("3 refs changed", "nothing new"):
        assert both.fetch()["message"] == f"petrel: {news}; moved there and not here: 1.0"
    now = both.ours()
    assert "refs/heads/topic" not in now
    assert now["refs/heads/main"] == both.theirs()["refs/heads/main"] != was["refs/heads/main"]
    assert now["refs/tags/1.0"] == was["refs/tags/1.0"] != both.theirs()["refs/tags/1.0"]
    [told] = both.events(EventKind.WARNING_RAISED)
    assert "tags were moved" in str(told["what"])
    git(repo, "update-ref", "-d", "refs/tags/1.0")
    both.fetch()
    assert both.ours()["refs/tags/1.0"] == was["refs/tags/1.0"]


def test_a_forge_that_is_away_changes_nothing_and_is_asked_again_later(both: Both) -> None:
    both.fetch()
    was = both.ours()
    git(both.forge.paths.repo("petrel"), "config", "http.uploadpack", "false")
    failed = both.fetch()
    assert (failed["exit"], failed["result"]) == (1, "broken")
    assert "cannot be fetched" in str(failed["message"])
    assert both.ours() == was


def test_objects_that_git_would_not_take_by_a_push_are_not_taken(both: Both) -> None:
    both.fetch()
    was = both.ours()
    repo = both.forge.paths.repo("petrel")
    blob = git(repo, "hash-object", "-w", "--stdin", stdin=b"[core]\n\tfsmonitor = touch /tmp/owned\n").decode().strip()
    inner = git(repo, "mktree", stdin=f"100644 blob {blob}\tconfig\n".encode()).decode().strip()
    tree = git(repo, "mktree", stdin=f"040000 tree {inner}\t.git\n".encode()).decode().strip()
    who = {f"GIT_{role}_{what}": "x@x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    evil = git(repo, "commit-tree", "-m", "x", tree, environment=who).decode().strip()
    git(repo, "update-ref", "refs/heads/evil", evil)
    failed = both.fetch()
    assert failed["result"] == "broken"
    assert both.ours() == was


@contextmanager
def answering(status: int, headers: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Answer everything the same; give the address, and what was asked."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # named by http.server
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("target", ["ext::sh -c touch% /tmp/owned", "file:///etc", "{other}/repo/petrel.git"])
def test_a_forge_cannot_send_us_elsewhere(tmp_path: Path, target: str) -> None:
    with answering(404, {}) as (other, asked), state_folder() as folder:
        headers = {"Location": target.format(other=other)}
        with answering(302, headers) as (url, _):
            here = installation(folder / "here", elsewhere(f"{url}/repo/petrel.git"))
            done = Line(folder / "here").call("repo", "fetch", "petrel", "--state", str(here.paths.root))
    assert done.returncode == 1, done.stderr
    assert asked == []


def test_a_repo_that_is_hosted_here_is_not_fetched(both: Both) -> None:
    done = both.line.call("repo", "fetch", "hosted", "--state", str(both.here.paths.root))
    assert (done.returncode, "it is pushed to" in done.stderr) == (3, True)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)) as connection:
        connection.request("POST", parts.path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_signed_webhook_has_it_fetched_and_another_word_has_not(both: Both) -> None:
    secret = both.line.call("repo", "secret", "petrel", "--state", str(both.here.paths.root)).stdout.strip()
    body = b'{"ref": "refs/heads/main"}'
    signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    wrong = hmac.new(b"other", body, hashlib.sha256).hexdigest()
    with both.line.serving() as url:
        for headers in (
            {"X-Hub-Signature-256": f"sha256={signed}"},
            {"X-Gitea-Signature": signed},
            {"X-Gitlab-Token": secret},
        ):
            status, said = post(f"{url}/repo/petrel/pushed", body, headers)
            assert status == 202, said
        refused = {
            post(f"{url}/repo/{name}/pushed", body, headers)
            for name in ("petrel", "hosted", "nothing")
            for headers in ({}, {"X-Hub-Signature-256": f"sha256={wrong}"}, {"X-Gitlab-Token": ""})
        }
    assert refused == {(403, "no repo here has a webhook with this signature\n")}
    rows = both.line.answer("job", "list")
    assert [row["kind"] for row in rows] == ["repo.fetch"], "the one that waits brings it all"


def test_what_is_pushed_while_a_fetch_is_done_is_fetched_by_the_next_one(both: Both) -> None:
    both.fetch()
    first = both.change("2")
    assert both.fetch()["message"] == "petrel: 1 refs changed"
    both.change("3")
    assert both.fetch()["message"] == "petrel: 1 refs changed"
    assert both.ours()["refs/heads/main"] != first


def test_a_fetch_beside_another_is_tried_again_and_breaks_nothing(both: Both) -> None:
    with locked(both.here.paths.lock("fetch-petrel")):
        assert both.fetch()["result"] == "broken"
    assert both.fetch()["message"] == "petrel: 2 refs changed"


class Plain(SimpleHTTPRequestHandler):
    """A server of files, as old ones are: git's plain transport, which checks no object by itself."""

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.mark.parametrize("is_evil", [False, True])
def test_objects_of_a_plain_file_server_are_checked_too(tmp_path: Path, *, is_evil: bool) -> None:
    with state_folder() as folder:
        forge = installation(folder / "forge", "[repo.petrel]\npublic = true\n")
        commit(forge.paths, "petrel", {"a": "1"})
        repo = forge.paths.repo("petrel")
        if is_evil:
            tree = git(repo, "mktree", stdin=f"040000 tree {git(repo, 'mktree').decode().strip()}\t..\n".encode())
            who = {f"GIT_{role}_{what}": "x@x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
            evil = git(repo, "commit-tree", "-m", "x", tree.decode().strip(), environment=who).decode().strip()
            git(repo, "update-ref", "refs/heads/evil", evil)
        git(repo, "update-server-info")
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(repo.parent))) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            here = installation(folder / "here", elsewhere(f"http://127.0.0.1:{server.server_port}/petrel.git"))
            done = Line(folder / "here").call("repo", "fetch", "petrel", "--state", str(here.paths.root))
            server.shutdown()
        assert done.returncode == (1 if is_evil else 0), done.stderr
        wanted = {} if is_evil else refs(repo)
        assert refs(here.paths.repo("petrel")) == wanted
        assert not list(here.paths.repo("petrel").glob("apart-*"))


def test_repo_that_was_fetched_often_is_packed_by_a_fetch_and_loses_nothing(both: Both) -> None:
    both.fetch()
    repo = both.here.paths.repo("petrel")
    for number in range(LOOSE_LIMIT + 1):  # as years of fetches leave them
        content = f"blob {len(str(number))}\0{number}".encode()
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        place = repo / "objects" / name[:2] / name[2:]
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(zlib.compress(content))
    both.change("last")
    assert both.fetch()["message"] == "petrel: 1 refs changed"
    counts = dict(line.split(": ") for line in git(repo, "count-objects", "-v").decode().splitlines())
    assert (counts["count"], int(counts["packs"]) <= 2) == ("0", True)
    assert int(counts["in-pack"]) > LOOSE_LIMIT, "what no ref leads to is there as well"
    assert both.ours() == both.theirs()
    git(repo, "fsck", "--connectivity-only")
