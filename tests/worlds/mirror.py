"""A web server on loopback that answers as badly as a test wants."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


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
