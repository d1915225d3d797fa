"""Webhooks of other forges: a signed word that something was pushed. It says when to fetch; nothing else in it is believed."""

import asyncio
import hashlib
import hmac

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from distwright.app import App
from distwright.errors import NotAllowed, NotFound
from distwright.repos.fetching import refuse_unsigned
from distwright.site.tokens import token_of

BODY_LIMIT_BYTES = 26 << 20  # what GitHub sends at most is 25 MB
_PATIENCE_S = 60.0
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
        """Order a fetch of the repo, if the request bears its secret. Nothing of a stranger's is kept until then."""
        name = request.path_params["name"]
        secret = await run_in_threadpool(self._secret, name)
        if not secret:
            return PlainTextResponse(_REFUSED, 403)
        signature, length = hmac.new(secret.encode(), digestmod=hashlib.sha256), 0
        try:
            async with asyncio.timeout(_PATIENCE_S):
                async for piece in request.stream():
                    signature.update(piece)
                    length += len(piece)
                    if length > BODY_LIMIT_BYTES:
                        return PlainTextResponse("a webhook is not as long as this\n", 413)
        except (ClientDisconnect, TimeoutError):
            return PlainTextResponse("cut off\n", 400)
        headers = {field.lower(): value for field, value in request.headers.items()}
        try:
            refuse_unsigned(secret, headers, signature.hexdigest())
            job = await run_in_threadpool(lambda: self._app.order_fetch(name).id)
        except (NotAllowed, NotFound):
            return PlainTextResponse(_REFUSED, 403)
        return JSONResponse({"job": job, "status": f"/job/{job}.json"}, 202)

    def _secret(self, name: str) -> str:
        table = self._app.config().repos.get(name)
        webhook = None if table is None else table.webhook
        return "" if webhook is None else token_of(self._app.paths, webhook.credential)
