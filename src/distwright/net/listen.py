"""A small HTTP server on loopback, inside a job: sandboxed programs read snapshots from it while it lives."""

import contextlib
import http.server
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import unquote

from distwright.errors import BadInput, DistwrightError, Lost, NotFound

Answer = tuple[BinaryIO, int]
_CHUNK = 1 << 18
_BACKLOG = 1024


class LoopbackServer(AbstractContextManager["LoopbackServer"]):
    """Serves GET and HEAD of what `find` gives, under a secret first path segment, until the block ends.

    find(path) gets a relative path ("debian/dists/…") and gives an open file and its size, or raises NotFound; it is called
    from several threads. Other errors, and Lost, are kept in `errors` and answered with 502, so that the job can name them.
    """

    def __init__(self, find: Callable[[str], Answer]) -> None:
        """Prepare; nothing listens before the block is entered."""
        self.errors: list[DistwrightError] = []
        self._unserved: dict[str, DistwrightError] = {}
        self._find = find
        self._secret = secrets.token_hex(8)
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        assert self._server is not None  # noqa: S101  # used inside the block only
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._secret}"

    def __enter__(self) -> "LoopbackServer":
        """Listen on a free port of 127.0.0.1."""
        self._server = _Server(("127.0.0.1", 0), self._request_class())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def unserved(self) -> list[DistwrightError]:
        """Those of `errors` that no later answer has made good."""
        return list(self._unserved.values())

    @property
    def port(self) -> int:
        """The port of `url`."""
        assert self._server is not None  # noqa: S101  # used inside the block only
        return int(self._server.server_address[1])

    @contextlib.contextmanager
    def door(self) -> Iterator[int]:
        """Serve in another network namespace too, until the block ends.

        Gives a descriptor for a program of that namespace: it sends a socket that listens there (tools/open_door.py).
        """
        ours, theirs = socket.socketpair()
        served: list[_Server] = []
        is_decided = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                served.extend(self._server_on(socket.socket(fileno=sent)) for sent in socket.recv_fds(ours, 1, 1)[1])
            is_decided.set()
            for server in served:
                server.serve_forever(poll_interval=0.1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield theirs.fileno()
        finally:
            theirs.close()
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)
            is_decided.wait()
            for server in served:
                server.shutdown()
                server.server_close()
            thread.join()
            ours.close()

    def _server_on(self, listening: socket.socket) -> "_Server":
        server = _Server(("127.0.0.1", 0), self._request_class(), bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        return server

    def _request_class(self) -> "type[_Request]":
        outer = self

        class Request(_Request):
            server_of_job = outer

        return Request

    def answer(self, path: str) -> Answer:
        """Find what a request asks for; raise NotFound for a wrong secret too."""
        secret, wanted = path.lstrip("/").partition("/")[0], _wanted(path)
        if not secrets.compare_digest(secret.encode(), self._secret.encode()):
            raise NotFound("no such page", hint="use the address that this server gave")
        try:
            return self._find(wanted)
        except Exception as error:
            if isinstance(error, NotFound) and not isinstance(error, Lost):
                raise
            raise self.keep(error, wanted) from error

    def made_good(self, path: str) -> None:
        """Note that a request was answered to the last byte."""
        self._unserved.pop(_wanted(path), None)

    def keep(self, error: Exception, wanted: str) -> DistwrightError:
        """Keep an error for the job, which alone can say it to a person; one that is not made for people is put into words."""
        if not isinstance(error, DistwrightError):
            error = DistwrightError(f"{wanted} cannot be given: {error!r}", hint="distwright doctor")
        self.errors.append(error)
        self._unserved[wanted] = error
        return error


def _wanted(path: str) -> str:
    """Give what a path asks for, without the secret before it."""
    return path.lstrip("/").partition("/")[2]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away: a program may end in the middle of a download. The rest was kept already."""


class _Request(http.server.BaseHTTPRequestHandler):
    server_of_job: LoopbackServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def _respond(self, *, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        try:
            file, size = self.server_of_job.answer(path)
        except Lost:
            self._refuse(HTTPStatus.BAD_GATEWAY)
            return
        except NotFound:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        except DistwrightError:
            self._refuse(HTTPStatus.BAD_GATEWAY)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(size))
            self.send_header("Content-Type", "application/octet-stream")
            self.end_headers()
            if with_body:
                self._send(file, size, path)

    def _send(self, file: BinaryIO, size: int, path: str) -> None:
        """Send the body; whatever keeps it from being whole ends the connection, or the client would wait for the rest."""
        left = size
        try:
            while piece := file.read(_CHUNK):
                self.wfile.write(piece)
                left -= len(piece)
            if left:
                raise BadInput(
                    f"{_wanted(path)} is not the {size} bytes that it was", hint="restore objects/ from a backup"
                )
            self.server_of_job.made_good(path)
        except ConnectionError:
            self.close_connection = True
        except (OSError, DistwrightError) as error:
            self.close_connection = True
            self.server_of_job.keep(error, _wanted(path))

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the job's log is for the job."""


def listening(port: int) -> socket.socket | None:
    """Listen on this port of 127.0.0.1, on a free one for 0; None if another program does."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener
