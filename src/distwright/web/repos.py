"""Public repos over git's smart HTTP, to be read, and private ones by their readers: what a clone or fetch asks, no more."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from distwright.app import App
from distwright.repos.configured import readable_repo
from distwright.tools.git_http import GitAnswer, GitRequest, ask_git
from distwright.web.readers import viewer_of

BODY_LIMIT_BYTES = 10 << 20  # names of commits that a client wants and has; git http-backend takes no more either
_READING = "git-upload-pack"


class PublicRepos:
    """Answers for `URL/repo/NAME.git`."""

    def __init__(self, app: App) -> None:
        """Serve an installation."""
        self._app = app

    def routes(self) -> list[Route]:
        """Give the two addresses that git's smart protocol has (gitprotocol-http(5))."""
        return [
            Route("/repo/{name}/info/refs", self.refs, methods=["GET"]),
            Route(f"/repo/{{name}}/{_READING}", self.pack, methods=["POST"]),
        ]

    async def refs(self, request: Request) -> Response:
        """Say which branches and tags there are."""
        if request.query_params.get("service") != _READING:
            return PlainTextResponse("this is for reading, by git 1.6.6 or later; push over ssh\n", 403)
        return await self._answer(request, is_pack=False, body=b"")

    async def pack(self, request: Request) -> Response:
        """Give the objects that a client does not have."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_LIMIT_BYTES:
                return PlainTextResponse(f"more than {BODY_LIMIT_BYTES >> 20} MiB are asked with\n", 413)
        return await self._answer(request, is_pack=True, body=bytes(body))

    async def _answer(self, request: Request, *, is_pack: bool, body: bytes) -> Response:
        name = request.path_params["name"].removesuffix(".git")
        viewer = await run_in_threadpool(viewer_of, self._app, request)
        repo = readable_repo(viewer.config, self._app.paths, name, viewer.reads_repo)
        encoding, protocol = (request.headers.get(field, "") for field in ("content-encoding", "git-protocol"))
        asked = GitRequest(is_pack=is_pack, body=body, encoding=encoding, protocol=protocol)
        answer = await run_in_threadpool(ask_git, repo, asked)
        return _GitResponse(answer)


class _GitResponse(StreamingResponse):
    """Gives what git says, and ends git when whoever asked has gone away; to leave that to the garbage collector takes minutes."""

    def __init__(self, answer: GitAnswer) -> None:
        super().__init__(answer.pieces, answer.status, dict(answer.headers))
        self._close = answer.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()
