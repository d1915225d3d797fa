"""Somebody who asks the web face, without a socket between."""

import asyncio
from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp


class Browser:
    """Asks an application; an error in it is an answer of 500, as a server would give."""

    def __init__(self, app: ASGIApp, base_url: str = "http://127.0.0.1:8080") -> None:
        """Ask `app` under the name in `base_url`."""
        self._app = app
        self._base_url = base_url

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, method: str = "GET") -> httpx.Response:
        """Ask once."""
        return asyncio.run(self._ask(method, path, headers or {}))

    async def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
            return await client.request(method, path, headers=dict(headers))
