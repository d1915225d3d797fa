"""The loopback server of a job: what it gives, to whom, and what it keeps for the job to say."""

import contextlib
import errno
import http.client
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest

from distwright.errors import DistwrightError, NotFound, Unreachable
from distwright.net.listen import Answer, LoopbackServer

pytestmark = pytest.mark.system
FILES = {"debian/dists/stable/Release": b"Suite: stable\n", "debian/pool/main/g/g++ 1~2.deb": bytes(range(256)) * 5000}


class Rotten(BytesIO):
    """A file on a disk that dies."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@dataclass
class Shelf:
    """Files in memory, and errors in their place."""

    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before: Callable[[], object] = field(default=lambda: None)

    def find(self, path: str) -> Answer:
        self.asked.append(path)
        self.before()
        if path in self.errors:
            raise self.errors[path]
        if path not in FILES:
            raise NotFound(f"{path} is not on the shelf", hint="")
        return BytesIO(FILES[path]), len(FILES[path])


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def server(shelf: Shelf) -> Iterator[LoopbackServer]:
    with LoopbackServer(shelf.find) as server:
        yield server


@pytest.mark.parametrize("path", FILES)
def test_file_comes_whole_with_its_length(server: LoopbackServer, path: str) -> None:
    status, headers, body = _ask(server, path.replace(" ", "%20"))
    assert (status, body, headers["Content-Length"]) == (200, FILES[path], str(len(FILES[path])))


def test_head_gives_the_length_and_no_body(server: LoopbackServer) -> None:
    path = "debian/dists/stable/Release"
    status, headers, body = _ask(server, path, method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "14")


def test_many_requests_go_over_one_connection(server: LoopbackServer) -> None:
    connection = _connected(server)
    answers = []
    for path in ("debian/dists/stable/Release", "nothing", "debian/pool/main/g/g++%201~2.deb"):
        connection.request("GET", f"{urlsplit(server.url).path}/{path}")
        response = connection.getresponse()
        answers.append((response.status, len(response.read())))
    connection.close()
    assert answers == [(200, 14), (404, 0), (200, 1280000)]


def test_what_is_not_on_the_shelf_is_404_and_no_error_of_the_job(server: LoopbackServer) -> None:
    status, headers, body = _ask(server, "debian/dists/stable/InRelease")
    assert (status, headers["Content-Length"], body, server.errors) == (404, "0", b"", [])


@pytest.mark.parametrize(
    "path", ["/", "/debian/dists/stable/Release", "/0123456789abcdef/debian/dists/stable/Release", "/%ff/x"]
)
def test_without_the_secret_nothing_is_even_looked_for(server: LoopbackServer, shelf: Shelf, path: str) -> None:
    """Other users of this machine can reach the port, but not guess 64 bits."""
    assert _ask(server, path, whole_path=True)[0] == 404
    assert (shelf.asked, server.errors) == ([], [])


def test_secrets_and_ports_are_new_each_time(shelf: Shelf) -> None:
    with LoopbackServer(shelf.find) as one, LoopbackServer(shelf.find) as two:
        assert urlsplit(one.url).path != urlsplit(two.url).path
        assert urlsplit(one.url).port != urlsplit(two.url).port
        assert {urlsplit(server.url).hostname for server in (one, two)} == {"127.0.0.1"}


def test_path_is_given_to_the_shelf_decoded_and_without_its_query(server: LoopbackServer, shelf: Shelf) -> None:
    _ask(server, "debian/a%2Bb%20c/../d?version=1")
    assert shelf.asked == ["debian/a+b c/../d"]


def test_error_of_ours_is_502_and_kept_for_the_job(server: LoopbackServer, shelf: Shelf) -> None:
    """The program would only say that a download failed; the job must say that the mirror is down."""
    down = Unreachable("mirror.example does not answer", hint="try later")
    shelf.errors["debian/pool/x.deb"] = down
    status, headers, body = _ask(server, "debian/pool/x.deb")
    assert (status, headers["Content-Length"], body, server.errors) == (502, "0", b"", [down])


def test_bug_of_ours_is_502_and_kept_for_the_job_too(server: LoopbackServer, shelf: Shelf) -> None:
    shelf.errors["debian/pool/x.deb"] = KeyError("sha256")
    assert _ask(server, "debian/pool/x.deb")[0] == 502
    (kept,) = server.errors
    assert (type(kept), kept.message) == (DistwrightError, "debian/pool/x.deb cannot be given: KeyError('sha256')")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (BytesIO(b"too short"), "is not the 14 bytes that it was"),
        (Rotten(), "cannot be given: OSError\\(5, 'Input/output error'\\)"),
    ],
)
def test_body_that_breaks_off_ends_the_connection_and_is_kept_for_the_job(file: BinaryIO, message: str) -> None:
    """Without an end the program would wait for the rest until its time limit."""
    with LoopbackServer(lambda _path: (file, 14)) as server:
        with pytest.raises(http.client.IncompleteRead):
            _ask(server, "debian/dists/stable/Release")
        (kept,) = server.errors
    assert re.search(f"^debian/dists/stable/Release {message}$", kept.message)


def test_requests_are_answered_at_the_same_time(server: LoopbackServer, shelf: Shelf) -> None:
    """All must be inside `find` at once, or the barrier breaks."""
    barrier = threading.Barrier(8)
    shelf.before = lambda: barrier.wait(20)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: _ask(server, "debian/dists/stable/Release"), range(8)))
    assert [(status, body) for status, _, body in answers] == [(200, b"Suite: stable\n")] * 8


def test_client_that_goes_away_in_the_middle_disturbs_nobody(
    server: LoopbackServer, shelf: Shelf, capfd: pytest.CaptureFixture[str]
) -> None:
    path = urlsplit(server.url)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", path.port or 0)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(f"GET {path.path}/debian/pool/main/g/g++%201~2.deb HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(10) == b"HTTP/1.1 2"
    assert _ask(server, "debian/dists/stable/Release")[0] == 200
    assert (server.errors, capfd.readouterr().err) == ([], "")


def test_nothing_listens_after_the_block(shelf: Shelf) -> None:
    with LoopbackServer(shelf.find) as server:
        port = urlsplit(server.url).port or 0
        with socket.create_connection(("127.0.0.1", port)):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_only_this_machine_is_listened_to(server: LoopbackServer) -> None:
    port = urlsplit(server.url).port or 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))


def _connected(server: LoopbackServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=20)


def _ask(
    server: LoopbackServer, path: str, *, method: str = "GET", whole_path: bool = False
) -> tuple[int, dict[str, str], bytes]:
    with contextlib.closing(_connected(server)) as connection:
        connection.request(method, path if whole_path else f"{urlsplit(server.url).path}/{path}")
        with connection.getresponse() as response:
            return response.status, dict(response.headers), response.read()
