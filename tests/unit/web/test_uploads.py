"""HTTP PUT: only with a token, only where nobody reads along, within limits, and never outside of the session's folder."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from tests.worlds.queue import QueueWorld, queue_world, upload_of

from distwright.app import App
from distwright.config.model import Config
from distwright.errors import NotFound
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.site.uploading import UploadQueue
from distwright.store.objects import FileObjects
from distwright.tools.sandbox import sandbox_for
from distwright.web import application, uploads
from distwright.web.confidential import is_confidential
from distwright.web.uploads import Uploads

LOOPBACK, FAR = ("127.0.0.1", 4711), ("192.0.2.7", 4711)


class QueueApp(App):
    """The application of a small world: its queue instead of one by the applied configuration."""

    queue: UploadQueue

    def uploads(self) -> UploadQueue:
        """Give the queue of the world."""
        return self.queue

    def config(self) -> Config:
        """Give the configuration of the world."""
        return self.queue.config


@pytest.fixture
def world(tmp_path: Path) -> QueueWorld:
    made = queue_world(tmp_path)
    made.context.paths.token("upload-ada").write_text("secret\n")
    return made


@dataclass
class Site:
    """The routes, asked as a client asks them."""

    application: Starlette
    client: tuple[str, int]
    base: str

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, b"", {}))

    def put(self, path: str, *, content: bytes | AsyncIterator[bytes], headers: Mapping[str, str]) -> httpx.Response:
        return asyncio.run(self._ask("PUT", path, content, headers))

    async def _ask(
        self, method: str, path: str, content: bytes | AsyncIterator[bytes], headers: Mapping[str, str]
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.application, client=self.client)
        async with httpx.AsyncClient(transport=transport, base_url=self.base) as client:
            return await client.request(method, path, content=content, headers=dict(headers))


def site(world: QueueWorld, client: tuple[str, int] = LOOPBACK, base: str = "http://testserver") -> Site:
    own = world.context
    objects = FileObjects(own.paths.objects)
    app = QueueApp(own.paths, own.database, objects, sandbox_for(1000), EmbeddedEngine(own.paths.root / "hints"))
    app.queue = world.queue
    return Site(Starlette(routes=Uploads(app).routes()), client, base)


def by(name: str = "ada", token: str = "secret") -> dict[str, str]:  # noqa: S107  # of a test
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


def test_files_then_the_changes_become_an_upload_with_a_status(world: QueueWorld) -> None:
    client, upload = site(world), upload_of()
    for name, content in upload.files.items():
        assert client.put(f"/upload/devel/{name}", content=content, headers=by()).status_code == 201
    answer = client.put(f"/upload/{upload.changes_name}", content=upload.changes, headers=by())
    assert (answer.status_code, answer.json()) == (202, {"upload": 1, "status": "/upload/1.json"})
    assert client.get("/upload/1.json").json()["result"] == "waiting"
    assert world.run() == ["ok"]
    assert client.get(answer.headers["location"]).json()["result"] == "accepted"
    assert [row["upload"] for row in client.get("/upload.json").json()] == [1]
    assert sorted(place.name for place in world.queue.session("ada").iterdir()) == [".taken"]


@pytest.mark.parametrize(
    "headers",
    [{}, by(token="wrong"), by("eve", ""), by("nobody"), {"Authorization": "Basic %%%"}, {"Authorization": "Bearer secret"}],
)  # fmt: skip
def test_without_a_token_of_a_grant_nothing_is_kept(world: QueueWorld, headers: dict[str, str]) -> None:
    answer = site(world).put("/upload/a.deb", content=b"x", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert not any(world.context.paths.uploads.iterdir())


def test_a_token_is_not_taken_where_somebody_may_read_along(world: QueueWorld) -> None:
    for client, base, headers, code in (
        (FAR, "http://testserver", {}, 403),
        (LOOPBACK, "http://testserver", {"X-Forwarded-For": "192.0.2.7"}, 403),
        (LOOPBACK, "http://testserver", {"X-Forwarded-Proto": "http"}, 403),
        (LOOPBACK, "http://testserver", {"X-Real-IP": "192.0.2.7"}, 403),
        (LOOPBACK, "http://testserver", {"Forwarded": "proto=http"}, 403),
        (LOOPBACK, "http://testserver", {"Via": "1.1 proxy"}, 403),
        (FAR, "https://testserver", {}, 201),
        (LOOPBACK, "https://testserver", {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}, 201),
        (("::1", 1), "http://testserver", {}, 201),
    ):
        answer = site(world, client, base).put("/upload/a.deb", content=b"x", headers={**by(), **headers})
        assert answer.status_code == code
        assert "www-authenticate" not in answer.headers  # nobody is asked for a token that must not be sent


@pytest.mark.parametrize(("version", "is_taken"), [("1.0", False), ("1.1", True), ("2", True)])
def test_a_proxy_that_says_nothing_is_known_by_the_old_protocol_if_at_all(version: str, *, is_taken: bool) -> None:
    scope = {
        "type": "http", "scheme": "http", "method": "PUT", "path": "/upload/a.deb", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8080")], "client": LOOPBACK, "http_version": version,
    }  # fmt: skip
    assert is_confidential(Request(scope)) == is_taken


@pytest.mark.parametrize(
    "path",
    [
        "/upload/..%2fx",
        "/upload/.hidden",
        "/upload/a%2fb/c",
        "/upload/%2e%2e",
        "/upload/a%0ab",
        "/upload/a b",
        "/upload/a/b/c",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(world: QueueWorld, path: str) -> None:
    assert site(world).put(path, content=b"x", headers=by()).status_code in (400, 404, 405)
    assert [
        place for place in world.context.paths.root.rglob("*") if place.is_file() and place.read_bytes() == b"x"
    ] == []


def test_more_than_may_come_is_refused_said_beforehand_or_not(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FILE_LIMIT_BYTES", 1000)
    monkeypatch.setattr(uploads, "SESSION_LIMIT_BYTES", 1500)
    monkeypatch.setattr(uploads, "SESSION_LIMIT_FILES", 3)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    client = site(world)
    assert client.put("/upload/a.deb", content=b"x" * 1001, headers=by()).status_code == 413
    assert client.put("/upload/a.deb", content=pieces(), headers=by()).status_code == 413
    assert client.put("/upload/a.deb", content=b"x" * 1000, headers=by()).status_code == 201
    assert client.put("/upload/b.deb", content=b"x" * 501, headers=by()).status_code == 413
    assert client.put("/upload/a.deb", content=b"x" * 900, headers=by()).status_code == 201  # in place of the first
    for name in ("c", "d"):
        assert client.put(f"/upload/{name}.deb", content=b"x", headers=by()).status_code == 201
    assert client.put("/upload/e.deb", content=b"x", headers=by()).status_code == 413
    assert sorted(place.name for place in world.queue.session("ada").iterdir()) == ["a.deb", "c.deb", "d.deb"]


def test_a_changes_file_that_lacks_files_or_sense_is_refused_and_may_come_again(world: QueueWorld) -> None:
    client, upload = site(world), upload_of()
    answer = client.put(f"/upload/{upload.changes_name}", content=upload.changes, headers=by())
    assert (answer.status_code, "lacks greeter_1.0.dsc" in answer.text) == (404, True)
    assert client.put(f"/upload/{upload.changes_name}", content=b"junk", headers=by()).status_code == 400
    assert list(world.queue.session("ada").iterdir()) == []
    for name, content in [*upload.files.items(), (upload.changes_name, upload.changes)]:
        answer = client.put(f"/upload/{name}", content=content, headers=by())
    assert answer.status_code == 202


def test_an_upload_that_does_not_exist_has_no_status(world: QueueWorld) -> None:
    with pytest.raises(NotFound):
        site(world).get("/upload/17.json")


class StumblingApp(QueueApp):
    """The application of a small world, where looking for uploads goes wrong in a way that nobody thought of."""

    looks = 0

    def uploads(self) -> UploadQueue:
        """Give the queue the third time only."""
        StumblingApp.looks += 1
        if StumblingApp.looks < 3:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        return super().uploads()


def test_whatever_goes_wrong_with_an_upload_the_next_look_comes_and_it_is_told_once(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_LOOK_EVERY_S", 0.01)
    own, said = world.context, list[str]()
    objects = FileObjects(own.paths.objects)
    app = StumblingApp(own.paths, own.database, objects, sandbox_for(1000), EmbeddedEngine(own.paths.root / "hints"))
    app.queue, app.tell = world.queue, said.append
    upload = upload_of()
    world.put(world.drop, upload)

    async def serve() -> None:
        served = application.web_application(app)
        async with served.router.lifespan_context(served):
            while StumblingApp.looks < 5:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), 60))
    assert world.results() == [(upload.changes_name, "waiting")]
    assert [text.strip().rpartition("\n")[2].partition(":")[0] for text in said] == ["UnicodeEncodeError"]
