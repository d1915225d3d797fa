"""The web face: archives, images and logs as files, and plain pages about them. Reading needs no login."""

import asyncio
import contextlib
import re
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distwright.app import App
from distwright.config.tables_archive import OwnArchive, UpstreamArchive
from distwright.errors import Busy, DatabaseLost, DistwrightError, NotFound, quoted, visible
from distwright.site.applied import note_private_names
from distwright.site.readers import Viewer
from distwright.site.uploading import once
from distwright.web.branches import branch_page, branches_page
from distwright.web.files import answer_file
from distwright.web.hosts import Hosts
from distwright.web.images import images_page
from distwright.web.pages import Page, archive_page, front_page, hosts_page, job_page, jobs_page, state_sources
from distwright.web.readers import Readers, viewer_of
from distwright.web.repos import PublicRepos
from distwright.web.uploads import Uploads
from distwright.web.webhooks import Webhooks

_P = ParamSpec("_P")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_LONGEST_NUMBER = 19
_LOOK_EVERY_S = 2.0
# One address for a pool file, whatever snapshot it is asked of: caches hold it once.
_SNAPSHOT_POOL = re.compile(r"snapshots/[^/]+/(pool/.+)", re.DOTALL)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

KEEP_NOWHERE = "private, no-store"


def web_application(app: App) -> Starlette:
    """Build the ASGI application of an installation."""
    with contextlib.suppress(NotFound):
        note_private_names(app.database, app.config(), app.now())  # of a state that an older version left
    return _Web(app).starlette()


class _Web:
    def __init__(self, app: App) -> None:
        self._app = app
        self._serving = app.serving()
        self._templates = Environment(
            loader=PackageLoader("distwright.web"), autoescape=select_autoescape(), finalize=_shown
        )
        self._templates.filters["minutes"] = lambda moment: "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

    def starlette(self) -> Starlette:
        static = Path(__file__).parent / "static"
        routes = [
            Route("/", self.front),
            Route("/index.json", self.front),
            Route("/job", self.jobs),
            Route("/job.json", self.jobs),
            Route("/job/{number}.json", self.job),
            Route("/job/{number}", self.job),
            Route("/job/{number}/log", self.log),
            Route("/branch", self.branches),
            Route("/branch.json", self.branches),
            Route("/branch/{repo}/{branch:path}/", self.branch),  # of one called NAME.json, which is the JSON of NAME
            Route("/branch/{repo}/{branch:path}.json", self.branch),
            Route("/branch/{repo}/{branch:path}", self.branch),
            Route("/host", self.hosts),
            Route("/host.json", self.hosts),
            Route("/archive/{name}.json", self.archive),
            Route("/archive/{name}", self.archive),
            Route("/archive/{name}/{state}.sources", self.sources),
            *Uploads(self._app).routes(),
            *Hosts(self._app.host_requests()).routes(),
            *PublicRepos(self._app).routes(),
            *Webhooks(self._app).routes(),
            *Readers(self._app).routes(),
            Mount("/static", StaticFiles(directory=static)),
            Route("/images/", self.images),
            Route("/images.json", self.images),
            Route("/images/{name}/", self.images),
            Route("/images/{name}.json", self.images),
            Route("/images/{path:path}", self.image, methods=["GET", "HEAD"]),
            Route("/{name}/{path:path}", self.file, methods=["GET", "HEAD"]),
        ]
        # Whoever makes a browser ask us under a name of their own (DNS rebinding) gets nothing, and no page repeats that name.
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=self._hosts(), www_redirect=False)
        return Starlette(
            routes=routes,
            exception_handlers={DistwrightError: self.failed},
            middleware=[Middleware(_AlwaysHeaders), hosts],
            lifespan=self.lifespan,
        )

    def _hosts(self) -> list[str]:
        """Give the names that we answer to: this machine's own, and that of the site's URL."""
        try:
            url = self._app.config().site.url
        except NotFound:
            url = None
        name = None if url is None else urlsplit(url).hostname
        return [*LOOPBACK, *([name] if name else [])]

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
        """Take in what was dropped, for as long as it serves; say each time that the database is away, and that it is back."""
        tell, is_lost = once(self._app.told, self._app.tell), False
        while True:
            try:
                await run_in_threadpool(lambda: self._app.uploads().take_in())
                if is_lost:
                    self._app.tell("the database answers again")
                is_lost = False
            except DatabaseLost as error:
                if not is_lost:
                    self._app.tell(f"{error.message}: waiting for it")
                is_lost = True
            except DistwrightError as error:
                tell(error.message)
            except Exception:  # whatever it is, the next look may find it gone
                tell(traceback.format_exc())
            await asyncio.sleep(_LOOK_EVERY_S)

    async def front(self, request: Request) -> Response:
        return await self._page(request, front_page, _base(request))

    async def jobs(self, request: Request) -> Response:
        return await self._page(request, jobs_page)

    async def job(self, request: Request) -> Response:
        return await self._page(request, job_page, _number(request))

    async def branches(self, request: Request) -> Response:
        return await self._page(request, branches_page)

    async def branch(self, request: Request) -> Response:
        repo, branch = (request.path_params[key] for key in ("repo", "branch"))
        return await self._page(request, branch_page, repo, branch)

    async def hosts(self, request: Request) -> Response:
        return await self._page(request, hosts_page)

    async def archive(self, request: Request) -> Response:
        return await self._page(request, archive_page, request.path_params["name"], _base(request))

    async def sources(self, request: Request) -> Response:
        """Give what to paste for a snapshot or a tag."""
        name, state, viewer = request.path_params["name"], request.path_params["state"], await self._viewer(request)
        text = await run_in_threadpool(state_sources, self._app, viewer, name, state, _base(request))
        return PlainTextResponse(text)

    async def log(self, request: Request) -> Response:
        viewer = await self._viewer(request)
        log = await run_in_threadpool(self._serving.log, viewer, _number(request))
        return FileResponse(log, media_type="text/plain; charset=utf-8")

    async def images(self, request: Request) -> Response:
        """List builds of images, or the files of one."""
        return await self._page(request, images_page, request.path_params.get("name", ""))

    async def image(self, request: Request) -> Response:
        """Give a file of the published images."""
        path = request.path_params["path"]
        return answer_file(request, await run_in_threadpool(self._serving.image, path), path)

    async def file(self, request: Request) -> Response:
        """Give a file of an archive: our own from the public tree, a recorded one from objects (or upstream, once)."""
        name, path = request.path_params["name"], request.path_params["path"]
        viewer = await self._viewer(request)
        archive = viewer.archive(name)
        if isinstance(archive, OwnArchive):
            if (found := _SNAPSHOT_POOL.fullmatch(path)) is not None:
                return RedirectResponse(f"/{name}/{found[1]}")
            file = await run_in_threadpool(self._serving.archived, viewer.config, name, path)
            return answer_file(request, file, path)
        if isinstance(archive, UpstreamArchive):
            recorded = self._serving.recorded(name)
            address = await run_in_threadpool(recorded.address, path)
            if address != path:
                return RedirectResponse(f"/{name}/{address}")
            file, _ = await run_in_threadpool(recorded.find, path)
            return answer_file(request, file, path)
        raise NotFound(f"there is no archive {quoted(name)}", hint="see the archives on the front page")

    async def failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, DistwrightError)  # noqa: S101  # registered for that class only
        busy = 503 if isinstance(error, Busy) else 409
        status = 404 if isinstance(error, NotFound) else 502 if error.exit_code == 20 else busy
        if request.url.path.endswith(".json"):
            problem = {"type": "about:blank", "title": error.message, "status": status, "detail": error.hint}
            return JSONResponse(problem, status, media_type="application/problem+json")
        return PlainTextResponse(f"{error.message}\n  try: {error.hint}\n", status)

    async def _page(
        self, request: Request, make: Callable[Concatenate[App, Viewer, _P], Page], *args: _P.args, **kwargs: _P.kwargs
    ) -> Response:
        """Answer with the page that `make` gives for who asks."""
        viewer = await self._viewer(request)
        page = await run_in_threadpool(make, self._app, viewer, *args, **kwargs)
        if request.url.path.endswith(".json"):
            return JSONResponse(page.document)
        text = self._templates.get_template(page.template).render(page=page, **page.values)
        return HTMLResponse(text)

    async def _viewer(self, request: Request) -> Viewer:
        return await run_in_threadpool(viewer_of, self._app, request)


class _AlwaysHeaders:
    """Adds HEADERS to every answer, so that no file of anybody's is ever run as a page of ours.

    No cache on the way keeps what is said to somebody who named themselves: others would get it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_named = any(name == b"authorization" for name, _ in scope.get("headers", ()))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if is_named:
                    headers["Cache-Control"] = KEEP_NOWHERE
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _shown(value: object) -> object:
    """Write out signs that are not seen in what a page shows: a name that somebody pushed must not turn the line around."""
    return visible(value) if type(value) is str else value


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _number(request: Request) -> int:
    """Read the number of a job; whatever is none, or longer than any, is not found."""
    text = request.path_params["number"]
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER:
        raise NotFound(f"there is no job {quoted(text, 40)}", hint="distwright job list")
    return int(text)
