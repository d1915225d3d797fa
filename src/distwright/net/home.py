"""The way of a worker's machine to the server that it works for: objects and logs over HTTP, whatever happens to the network.

What can be asked again is asked again, with growing pauses, until an answer comes or patience ends: every request is safe to
repeat but the one that enrols, whose token is spent. Bodies that break off go on where they ended.
"""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode

import urllib3

from distwright.errors import (
    BadInput,
    DistwrightError,
    Lost,
    NotAllowed,
    NotFound,
    OutOfSpace,
    Refused,
    Unreachable,
    quoted,
)
from distwright.model import plain
from distwright.model.digests import Json, Sha256, canonical_json

VERSION_HEADER = "Distwright-Version"
HEALTH_HEADER = "Distwright-Health"
PIECE_BYTES = 8 << 20
LOG_PIECE_BYTES = 1 << 20
_CHUNK = 1 << 18
_ANSWER_LIMIT_BYTES = 16 << 20
_CONNECT_S = 10.0
_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
_STANDSTILLS = 5
_AGAIN = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_ERRORS: Mapping[int, type[DistwrightError]] = {
    HTTPStatus.UNAUTHORIZED: NotAllowed,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Refused,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Refused,
    HTTPStatus.INSUFFICIENT_STORAGE: OutOfSpace,
}


class HomeLink:
    """Asks the server on behalf of a host. To be used by one thread; a fork makes connections of its own."""

    def __init__(
        self,
        url: str,
        host: str,
        token: str,
        version: str,
        *,
        patience_s: float,
        read_s: float = 60.0,
        check_cancelled: Callable[[], None] = lambda: None,
        health: Callable[[], str] = lambda: "",
    ) -> None:
        """patience_s: how long a silent server is asked again. read_s: how long it may say nothing.

        check_cancelled: called between tries, may raise to stop. health: what each request says of this machine, if anything.
        """
        self._url = url.rstrip("/")
        self._patience_s, self._read_s = patience_s, read_s
        self._check_cancelled, self._health = check_cancelled, health
        proof = base64.b64encode(f"{host}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {proof}", VERSION_HEADER: version, "Accept-Encoding": "identity"}
        self._made: tuple[int, urllib3.PoolManager] | None = None

    def enrol(self) -> dict[str, Json]:
        """Exchange the one-time token for the lasting one; give the server's answer."""
        return self._answer("POST", "/host/enrol")

    def hello(self) -> dict[str, Json]:
        """Say that this host lives; give what the server says of it. Raises Refused for another version, NotAllowed."""
        return self._answer("POST", "/host/hello")

    def has(self, digest: Sha256) -> bool:
        """Say whether the object is there."""
        return self._is_found("GET", digest)

    def touch(self, digest: Sha256) -> bool:
        """Say whether the object is there, and let it count as kept just now."""
        return self._is_found("POST", digest)

    def pieces(self, digest: Sha256, offset: int) -> Iterator[bytes]:
        """Give the bytes of an object from an offset on, unverified."""
        until = time.monotonic() + self._patience_s
        while True:
            before = offset
            try:
                for piece in self._body(digest, offset):
                    offset += len(piece)
                    yield piece
                return
            except Unreachable:
                if offset > before:  # it came on: patience begins anew
                    until = time.monotonic() + self._patience_s
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSES_S[-1])

    def _body(self, digest: Sha256, offset: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._asked("GET", f"/host/object/{digest}", None, headers, stream=True)
        try:
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # all of it is here already; whoever asks compares the sum
            if response.status == HTTPStatus.NOT_FOUND:
                raise Lost(f"object {digest} is not on the server", hint="distwright job list, on the server")
            wanted = HTTPStatus.PARTIAL_CONTENT if offset else HTTPStatus.OK
            if response.status != wanted:
                raise _never_the_works(self._error(response, response.read1(_CHUNK, decode_content=False)))
            while piece := response.read1(_CHUNK, decode_content=False):
                self._check_cancelled()
                yield piece
        except urllib3.exceptions.HTTPError as error:
            raise self._silent(error) from error
        finally:
            response.close()

    def send(self, digest: Sha256, path: Path) -> None:
        """Let the server have a file as this object, unless it has it."""
        answer = self._for_job("POST", f"/host/object/{digest}?offer")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            standstills = 0
            while not plain.flag(answer, "here"):
                offset = plain.number(answer, "offset")
                file.seek(offset)
                query = urlencode({"offset": offset, "size": size})
                answer = self._for_job("PUT", f"/host/object/{digest}?{query}", file.read(PIECE_BYTES))
                moved = plain.flag(answer, "here") or plain.number(answer, "offset") > offset
                standstills = 0 if moved else standstills + 1
                if standstills > _STANDSTILLS:
                    raise Unreachable(f"the server does not take object {digest}", hint="look at what its serve says")

    def greet(self) -> None:
        """Say that this host lives, and how it is."""
        self.hello()

    def send_log(self, job: int, fence: int, offset: int, content: bytes) -> int:
        """Let the server have a piece of a log; give how long it is there."""
        return plain.number(self._answer("PUT", f"/host/log/{job}/{fence}?offset={offset}", content), "size")

    def act(self, job: int, fence: int, step: str, earlier: Json) -> dict[str, Json]:
        """Have the server do an action of a job that this host holds; give its result and what it has to say."""
        return self._for_job("POST", f"/host/act/{job}/{fence}/{quote(step, safe='')}", canonical_json(earlier))

    def _is_found(self, method: str, digest: Sha256) -> bool:
        return plain.flag(
            self._for_job(method, f"/host/object/{digest}?{'known' if method == 'GET' else 'touch'}"), "here"
        )

    def _for_job(self, method: str, path: str, body: bytes | None = None) -> dict[str, Json]:
        """Ask on behalf of a job: that the server refuses us, or does not know what we speak of, is never the work's fault."""
        try:
            return self._answer(method, path, body)
        except (Refused, NotFound) as error:
            raise _never_the_works(error) from error

    def _answer(self, method: str, path: str, body: bytes | None = None) -> dict[str, Json]:
        response = self._asked(method, path, body, {}, stream=False)
        content = response.data
        if response.status >= HTTPStatus.BAD_REQUEST or len(content) > _ANSWER_LIMIT_BYTES:
            raise self._error(response, content)
        try:
            return dict(plain.mapping({"answer": json.loads(content)}, "answer"))
        except (ValueError, BadInput) as error:
            raise Unreachable(
                f"{quoted(self._url)} does not answer as a server of distwright", hint="name the address of its serve"
            ) from error

    def _asked(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        """Ask until an answer comes that is not about the way; give it, whatever it says. Raises Unreachable."""
        until = time.monotonic() + self._patience_s
        tries = 0
        while True:
            self._check_cancelled()
            try:
                response = self._pool.request(
                    method, self._url + path, body=body, headers={**self._headers, **self._said(), **headers},
                    preload_content=not stream, redirect=False,
                )  # fmt: skip
            except (urllib3.exceptions.HTTPError, ValueError) as error:
                problem: DistwrightError = self._silent(error)
            else:
                if response.status not in _AGAIN:
                    return response
                problem = self._error(response, b"" if stream else response.data)
                response.close()
            if time.monotonic() > until:
                raise problem
            time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    def _said(self) -> dict[str, str]:
        return {HEALTH_HEADER: health} if (health := self._health()) else {}

    @property
    def _pool(self) -> urllib3.PoolManager:
        """Connections of this process: a child must not speak over those of its parent."""
        if self._made is None or self._made[0] != os.getpid():
            timeout = urllib3.Timeout(connect=_CONNECT_S, read=self._read_s)
            self._made = (os.getpid(), urllib3.PoolManager(timeout=timeout, retries=False))
        return self._made[1]

    def _silent(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"the server {quoted(self._url)} does not answer: {quoted(str(getattr(error, 'reason', None) or error))}",
            hint="look whether its serve runs, and at the network between",
        )

    def _error(self, response: urllib3.BaseHTTPResponse, content: bytes) -> DistwrightError:
        """Put into words what the server says; its own words if they are ours."""
        kind = _ERRORS.get(response.status, Unreachable)
        try:
            said = plain.mapping({"problem": json.loads(content)}, "problem")
            message, hint = plain.text(said, "title"), plain.text(said, "detail")
        except (ValueError, BadInput):
            return kind(f"the server {quoted(self._url)} answers {response.status}", hint="look at what its serve says")
        return kind(f"the server says: {quoted(message, 500)[1:-1]}", hint=quoted(hint, 300)[1:-1])


def _never_the_works(error: DistwrightError) -> DistwrightError:
    """What the server has against us is a matter between it and this machine."""
    if not isinstance(error, Refused | NotFound):
        return error
    return Unreachable(f"{error.message} ({error.hint})", hint="look at what serve says on the server")
