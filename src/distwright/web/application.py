"""The web face: archives, images and logs as files, and plain pages about them. Reading needs no login."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from distwright.app import App, Serving
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import DistwrightError, NotFound
from distwright.web.pages import Page, archive_page, front_page, job_page, jobs_page
from distwright.web.uploads import Uploads

_CHUNK = 1 << 18
_LOOK_EVERY_S = 2.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def web_application(app: App) -> Starlette:
    """Build the ASGI application of an installation."""
    return _Web(app).starlette()


class _Web:
    def __init__(self, app: App) -> None:
        self._app = app
        self._serving = Serving(app)
        self._templates = Environment(loader=PackageLoader("distwright.web"), autoescape=select_autoescape())
        self._templates.filters["minutes"] = lambda moment: "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

    def starlette(self) -> Starlette:
        static = Path(__file__).parent / "static"
        images = self._app.paths.public / "images"
        images.mkdir(parents=True, exist_ok=True)
        routes = [
            Route("/", self.front),
            Route("/index.json", self.front),
            Route("/job", self.jobs),
            Route("/job.json", self.jobs),
            Route("/job/{number:int}.json", self.job),
            Route("/job/{number:int}", self.job),
            Route("/job/{number:int}/log", self.log),
            Route("/archive/{name}.json", self.archive),
            Route("/archive/{name}", self.archive),
            *Uploads(self._app).routes(),
            Mount("/static", StaticFiles(directory=static)),
            Mount("/images", StaticFiles(directory=images)),
            Route("/{name}/{path:path}", self.file, methods=["GET", "HEAD"]),
        ]
        return Starlette(routes=routes, exception_handlers={DistwrightError: self.failed}, lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """While it serves, uploads that are dropped are taken in; a worker does the rest."""
        looking = asyncio.create_task(self.look_for_uploads())
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def look_for_uploads(self) -> None:
        while True:
            with contextlib.suppress(DistwrightError):
                await run_in_threadpool(lambda: self._app.uploads().take_in())
            await asyncio.sleep(_LOOK_EVERY_S)

    async def front(self, request: Request) -> Response:
        return self._page(request, await run_in_threadpool(front_page, self._app))

    async def jobs(self, request: Request) -> Response:
        return self._page(request, await run_in_threadpool(jobs_page, self._app))

    async def job(self, request: Request) -> Response:
        return self._page(request, await run_in_threadpool(job_page, self._app, request.path_params["number"]))

    async def archive(self, request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        return self._page(request, await run_in_threadpool(archive_page, self._app, request.path_params["name"], base))

    async def log(self, request: Request) -> Response:
        log = await run_in_threadpool(self._serving.log, request.path_params["number"])
        return FileResponse(log, media_type="text/plain; charset=utf-8", headers=HEADERS)

    async def file(self, request: Request) -> Response:
        """Give a file of an archive: our own from the public tree, a recorded one from objects (or upstream, once)."""
        name, path = request.path_params["name"], request.path_params["path"]
        archive = (await run_in_threadpool(self._app.config)).archives.get(name)
        if isinstance(archive, OwnArchive):
            return FileResponse(await run_in_threadpool(self._serving.published, name, path))
        if isinstance(archive, UpstreamArchive):
            first, _, rest = path.partition("/")
            if first.isdigit() and rest.startswith("pool/"):
                return RedirectResponse(f"/{name}/{rest}")
            file, size = await run_in_threadpool(self._serving.recorded, name, path)
            headers = {"Content-Length": str(size)}
            if request.method == "HEAD":
                file.close()
                return Response(headers=headers)
            return StreamingResponse(_pieces(file), headers=headers, media_type="application/octet-stream")
        raise NotFound(f"there is no archive {name}", hint="see the archives on the front page")

    async def failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, DistwrightError)  # noqa: S101  # registered for that class only
        status = 404 if isinstance(error, NotFound) else 502 if error.exit_code == 20 else 409
        if request.url.path.endswith(".json"):
            problem = {"type": "about:blank", "title": error.message, "status": status, "detail": error.hint}
            return JSONResponse(problem, status, media_type="application/problem+json", headers=HEADERS)
        return PlainTextResponse(f"{error.message}\n  try: {error.hint}\n", status, headers=HEADERS)

    def _page(self, request: Request, page: Page) -> Response:
        if request.url.path.endswith(".json"):
            return JSONResponse(page.document, headers=HEADERS)
        text = self._templates.get_template(page.template).render(page=page, **page.values)
        return HTMLResponse(text, headers=HEADERS)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await run_in_threadpool(file.read, _CHUNK):
            yield piece
