"""A web server on loopback that answers as badly as a test wants."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote

from tests.worlds.archive import Upstream

from distwright.model.digests import sha256_of


class Request(http.server.BaseHTTPRequestHandler):
    """One request; answers are functions of it."""

    protocol_version = "HTTP/1.1"
    mirror: "Mirror"

    def do_GET(self) -> None:
        """Answer as the test says, 404 by default."""
        self.mirror.asked.append((self.path, dict(self.headers)))
        self.mirror.connections.add(self.client_address)
        self.mirror.answers.get(self.path, answer(404))(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Answer = Callable[[Request], None]


@dataclass(slots=True)
class Mirror:
    """What is served, what was asked for (path and headers), and over which connections."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)


def answer(status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> Answer:
    """Answer with a status and a body; length: what Content-Length says if not the truth. A lie ends the connection."""

    def respond(request: Request) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)
        request.close_connection = length is not None

    return respond


def one_after_the_other(*answers: Answer) -> Answer:
    """Give each answer once, the last one for ever."""
    left = list(answers)

    def respond(request: Request) -> None:
        present = left.pop(0) if len(left) > 1 else left[0]
        present(request)

    return respond


@contextmanager
def serving() -> Iterator[Mirror]:
    """Serve on a free port of loopback until the block ends."""
    served = Mirror()

    class Handler(Request):
        mirror = served

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients of these tests go away in the middle on purpose."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield served
        server.shutdown()


class UpstreamAnswers(dict[str, Answer]):
    """Answers with what an upstream of the worlds serves now, below `/debian/`. validators: which of them the server gives."""

    def __init__(self, upstream: Upstream, validators: tuple[str, ...] = ("ETag",)) -> None:
        """Serve an upstream."""
        super().__init__()
        self.upstream, self.validators = upstream, validators

    def get(self, path: str, default: Answer | None = None) -> Answer:  # type: ignore[override]
        """Give a file; an answer that a test has put here first."""
        if path in self:
            return self[path]
        content = self.upstream.files.get(unquote(path).removeprefix("/debian/"))
        return answer(404) if content is None else partial(self._respond, content)

    def _respond(self, content: bytes, request: Request) -> None:
        etag, modified = f'"{sha256_of(content)[:16]}"', "Wed, 10 Jan 2024 12:00:00 GMT"
        headers = {"ETag": etag, "Last-Modified": modified}
        given = {name: value for name, value in headers.items() if name in self.validators}
        asked = request.headers.get("If-None-Match", "")
        is_known = "ETag" in given and asked == etag
        request.send_response(304 if is_known else 200)
        for name, value in {**given, "Content-Length": "0" if is_known else str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(b"" if is_known else content)


@contextmanager
def serving_upstream(upstream: Upstream, validators: tuple[str, ...] = ("ETag",)) -> Iterator[Mirror]:
    """Serve an upstream on loopback; its base URL is `mirror.url` and `/debian`."""
    with serving() as mirror:
        mirror.answers = UpstreamAnswers(upstream, validators)
        yield mirror
