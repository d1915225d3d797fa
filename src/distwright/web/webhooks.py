"""Webhooks of other forges: a signed word that something was pushed. It says when to fetch; nothing else in it is believed."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from distwright.app import App
from distwright.errors import NotAllowed, NotFound
from distwright.repos.fetching import refuse_unsigned
from distwright.site.tokens import token_of

BODY_LIMIT_BYTES = 26 << 20  # what GitHub sends at most is 25 MB
_REFUSED = "no repo here has a webhook with this signature\n"


class Webhooks:
    """Answers for `URL/repo/NAME/pushed`."""

    def __init__(self, app: App) -> None:
        """Listen for an installation."""
        self._app = app

    def routes(self) -> list[Route]:
        """Give the address."""
        return [Route("/repo/{name}/pushed", self.pushed, methods=["POST"])]

    async def pushed(self, request: Request) -> Response:
        """Order a fetch of the repo, if the request bears its secret."""
        if not await run_in_threadpool(self._secret, request.path_params["name"]):
            return PlainTextResponse(_REFUSED, 403)  # before anything of a stranger's is kept
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_LIMIT_BYTES:
                    return PlainTextResponse("a webhook is not as long as this\n", 413)
        except ClientDisconnect:
            return PlainTextResponse("cut off\n", 400)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            job = await run_in_threadpool(self._order, request.path_params["name"], headers, bytes(body))
        except (NotAllowed, NotFound):
            return PlainTextResponse(_REFUSED, 403)
        return JSONResponse({"job": job, "status": f"/job/{job}.json"}, 202)

    def _secret(self, name: str) -> str:
        table = self._app.config().repos.get(name)
        webhook = None if table is None else table.webhook
        return "" if webhook is None else token_of(self._app.paths, webhook.credential)

    def _order(self, name: str, headers: dict[str, str], body: bytes) -> int:
        secret = self._secret(name)
        refuse_unsigned(secret, headers, body)
        return self._app.order_fetch(name).id
