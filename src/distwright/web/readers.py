"""Who asks: anybody, or a person with a token, who sees what is private and theirs to read."""

import base64

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from distwright.app import App
from distwright.errors import NotAllowed
from distwright.site.readers import Viewer, person_of
from distwright.web.confidential import is_confidential

_ASK = {"WWW-Authenticate": 'Basic realm="readers", charset="UTF-8"'}


def viewer_of(app: App, request: Request) -> Viewer:
    """Say who asks. A name and token that do not count, or that others could have read on the way, are nobody's."""
    config, header = app.config(), request.headers.get("authorization", "")
    if not header or not is_confidential(request):
        return Viewer(config)
    try:
        return Viewer(config, person_of(app.database, config, *_name_and_token(header)))
    except NotAllowed:
        return Viewer(config)


class Readers:
    """Answers for `URL/reader`, where a browser asks its person for name and token; it sends both from then on."""

    def __init__(self, app: App) -> None:
        """Answer for an installation."""
        self._app = app

    def routes(self) -> list[Route]:
        """Give the address."""
        return [Route("/reader", self.reader, methods=["GET"])]

    async def reader(self, request: Request) -> Response:
        """Say who asks, or ask who it is: the same, whether there is anything private here or not."""
        if not is_confidential(request):
            return PlainTextResponse("come over https://: anybody could read the token\n", 403)
        viewer = await run_in_threadpool(viewer_of, self._app, request)
        if not viewer.person:
            return PlainTextResponse("no person has this name and token\n", 401, headers=_ASK)
        return PlainTextResponse(f"you are {viewer.person}\n")


def _name_and_token(header: str) -> tuple[str, str]:
    """Read HTTP Basic (RFC 7617); raise NotAllowed."""
    kind, _, encoded = header.partition(" ")
    try:
        name, _, token = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        name, token = "", ""
    if kind.lower() != "basic" or not name:
        raise NotAllowed("the name and token cannot be read", hint="distwright reader token PERSON")
    return name, token
