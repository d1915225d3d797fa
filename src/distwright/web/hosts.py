"""The routes below /host: for machines that work for this one, and nobody else. What they send is bounded before it is read."""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from distwright.errors import BadInput, Busy, DistwrightError, NotAllowed, NotFound, OutOfSpace, Refused
from distwright.model.digests import Json, Sha256
from distwright.model.records import HostState
from distwright.net.home import HEALTH_HEADER, LOG_PIECE_BYTES, PIECE_BYTES, VERSION_HEADER
from distwright.site.host_requests import HostRequests
from distwright.web.confidential import is_confidential
from distwright.web.files import answer_file
from distwright.worker.asked import EARLIER_LIMIT_BYTES

_NUMBER_DIGITS = 18
_STATUS: Sequence[tuple[type[DistwrightError], int]] = (
    (NotAllowed, 401), (NotFound, 404), (Busy, 503), (OutOfSpace, 507), (Refused, 409), (BadInput, 400),
)  # fmt: skip
_Answer = Callable[[Request, HostState], Awaitable[Response]]


class TooLongError(Refused):
    """A request has a longer body than it may have."""


class Hosts:
    """The routes below /host."""

    def __init__(self, requests: HostRequests) -> None:
        """Let these answer."""
        self._requests = requests

    def routes(self) -> Sequence[Route]:
        """Give the routes."""
        return [
            Route("/host/enrol", self.enrol, methods=["POST"]),
            Route("/host/hello", self._known(self.hello), methods=["POST"]),
            Route("/host/object/{digest}", self._known(self.give), methods=["GET"]),
            Route("/host/object/{digest}", self._known(self.offer), methods=["POST"]),
            Route("/host/object/{digest}", self._known(self.take), methods=["PUT"]),
            Route("/host/log/{job}/{fence}", self._known(self.log), methods=["PUT"]),
            Route("/host/act/{job}/{fence}/{step}", self._known(self.act), methods=["POST"]),
        ]

    def _known(self, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        """Let a request through if a host proves that it is one, by a token that nobody on the way can read."""

        async def checked(request: Request) -> Response:
            try:
                health = request.headers.get(HEALTH_HEADER, "")
                host = await run_in_threadpool(self._requests.host, *_proof_of(request), health)
                return await answer(request, host)
            except DistwrightError as error:
                return _problem(error)
            except ClientDisconnect:
                return Response(status_code=400)

        return checked

    async def enrol(self, request: Request) -> Response:
        """Take a one-time token for the lasting one."""
        try:
            return JSONResponse(await run_in_threadpool(self._requests.enrol, *_proof_of(request)))
        except DistwrightError as error:
            return _problem(error)

    async def hello(self, request: Request, host: HostState) -> Response:
        """Say what a host is here."""
        return JSONResponse(await run_in_threadpool(self._requests.hello, host))

    async def give(self, request: Request, host: HostState) -> Response:
        """Give an object, or a range of it; `?known`: say whether it is here."""
        digest = _digest(request)
        if "known" in request.query_params:
            return JSONResponse({"here": await run_in_threadpool(self._requests.has, digest)})
        return answer_file(request, await run_in_threadpool(self._requests.open, digest), f"pool/{digest}")

    async def offer(self, request: Request, host: HostState) -> Response:
        """Say from where on to send an object; `?touch`: only whether it is here. Either counts as its use."""
        digest = _digest(request)
        if "touch" in request.query_params:
            return JSONResponse({"here": await run_in_threadpool(self._requests.touch, digest)})
        return JSONResponse(await run_in_threadpool(self._requests.offer, host, digest))

    async def take(self, request: Request, host: HostState) -> Response:
        """Take a piece of an object."""
        digest, offset, size = _digest(request), _query(request, "offset"), _query(request, "size")
        content = await _body(request, PIECE_BYTES)
        return JSONResponse(await run_in_threadpool(self._requests.take, host, digest, offset, content, size))

    async def log(self, request: Request, host: HostState) -> Response:
        """Take a piece of a log."""
        job, fence, offset = _part(request, "job"), _part(request, "fence"), _query(request, "offset")
        content = await _body(request, LOG_PIECE_BYTES)
        return JSONResponse(await run_in_threadpool(self._requests.log, host, job, fence, offset, content))

    async def act(self, request: Request, host: HostState) -> Response:
        """Do an action for a host that has no key for it."""
        job, fence, step = _part(request, "job"), _part(request, "fence"), request.path_params["step"]
        try:
            earlier: Json = json.loads(await _body(request, EARLIER_LIMIT_BYTES))
        except ValueError as error:
            raise BadInput("what came is no JSON", hint="use the same version on both machines") from error
        return JSONResponse(await run_in_threadpool(self._requests.act, host, job, fence, step, earlier))


def _proof_of(request: Request) -> tuple[str, str, str]:
    """Give name, token and version as they were said; raise NotAllowed where somebody could read along."""
    if not is_confidential(request):
        raise NotAllowed("come over https:// only: anybody could read the token", hint="use https:// in the address")
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        name, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        kind = ""
    if kind.lower() != "basic":
        raise NotAllowed("say which host you are, with its token", hint="run distwright worker on an enrolled machine")
    return name, token, request.headers.get(VERSION_HEADER, "")


def _digest(request: Request) -> Sha256:
    return Sha256(request.path_params["digest"])


def _part(request: Request, name: str) -> int:
    return _number(request.path_params[name], name)


def _query(request: Request, name: str) -> int:
    return _number(request.query_params.get(name, ""), name)


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _NUMBER_DIGITS:
        raise BadInput(f"{name} is no number", hint="use the same version on both machines")
    return int(text)


async def _body(request: Request, limit_bytes: int) -> bytes:
    """Read a body; raise TooLongError as soon as it is."""
    pieces, received = [], 0
    async for piece in request.stream():
        received += len(piece)
        if received > limit_bytes:
            raise TooLongError(f"more than {limit_bytes} bytes came at once", hint="send smaller pieces")
        pieces.append(piece)
    return b"".join(pieces)


def _problem(error: DistwrightError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, TooLongError):
        status = 413
    document = {"type": "about:blank", "title": error.message, "status": status, "detail": error.hint}
    headers = {"WWW-Authenticate": 'Basic realm="hosts", charset="UTF-8"'} if status == 401 else {}
    return JSONResponse(document, status, headers=headers, media_type="application/problem+json")
