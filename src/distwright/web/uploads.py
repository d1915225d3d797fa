"""Uploads by HTTP PUT, as dput and dput-ng speak it: every file by its name, the .changes last. And what became of them."""

import base64
import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from distwright.app import App
from distwright.archive.incoming import CHANGES_LIMIT_BYTES
from distwright.errors import BadInput, Busy, DistwrightError, NotAllowed, NotFound, quoted
from distwright.formats.paths import safe_file_name
from distwright.model.digests import Json
from distwright.site.readers import Viewer
from distwright.site.uploading import upload_list
from distwright.web.confidential import is_confidential
from distwright.web.readers import viewer_of

FILE_LIMIT_BYTES = 16 << 30
SESSION_LIMIT_BYTES = 64 << 30
SESSION_LIMIT_FILES = 5000
_LIST_SHOWN = 200
_ASK = {"WWW-Authenticate": 'Basic realm="uploads", charset="UTF-8"'}


class TooLargeError(BadInput):
    """A file, or all files of a session together, take more than may be sent."""


class Uploads:
    """The routes below /upload."""

    def __init__(self, app: App) -> None:
        """Take uploads for an installation."""
        self._app = app

    def routes(self) -> Sequence[Route]:
        """Give the routes; a folder between /upload/ and the file's name says nothing, the .changes names its suite."""
        return [
            Route("/upload.json", self.list, methods=["GET"]),
            Route("/upload/{number:int}.json", self.show, methods=["GET"]),
            Route("/upload/{name}", self.put, methods=["PUT"]),
            Route("/upload/{folder}/{name}", self.put, methods=["PUT"]),
        ]

    async def list(self, request: Request) -> Response:
        """List uploads, newest first."""
        viewer = await run_in_threadpool(viewer_of, self._app, request)
        return JSONResponse(await run_in_threadpool(upload_list, self._app.database, _LIST_SHOWN, viewer))

    async def show(self, request: Request) -> Response:
        """Say what became of an upload."""
        viewer = await run_in_threadpool(viewer_of, self._app, request)
        return JSONResponse(await run_in_threadpool(self._show, request.path_params["number"], viewer))

    def _show(self, number: int, viewer: Viewer) -> dict[str, Json]:
        return self._app.uploads().status(number, viewer)

    async def put(self, request: Request) -> Response:
        """Take one file into the session of whoever holds the token; a .changes becomes a job."""
        if not is_confidential(request):
            return PlainTextResponse("send uploads over https:// only: anybody could read the token\n", 403)
        try:
            user = await run_in_threadpool(self._user, request.headers.get("authorization", ""))
        except NotAllowed as error:
            return PlainTextResponse(f"{error.message}\n", 401, headers=_ASK)
        try:
            name = safe_file_name(request.path_params["name"])
            safe_file_name(request.path_params.get("folder", name))
            await self._receive(request, user, name)
            if not name.endswith(".changes"):
                return PlainTextResponse("kept\n", 201)
            return await run_in_threadpool(self._queue, user, name)
        except TooLargeError as error:
            return PlainTextResponse(f"{error.message}\n", 413)
        except BadInput as error:
            return PlainTextResponse(f"{error.message}\n  try: {error.hint}\n", 400)
        except ClientDisconnect:
            return PlainTextResponse("cut off\n", 400)

    def _user(self, header: str) -> str:
        kind, _, encoded = header.partition(" ")
        if kind.lower() != "basic":
            raise NotAllowed("say who uploads, with a token as password", hint="distwright upload token NAME")
        try:
            name, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            raise NotAllowed("the name and token cannot be read", hint="distwright upload token NAME") from None
        return self._app.uploads().user_of(name, token)

    async def _receive(self, request: Request, user: str, name: str) -> None:
        """Stream a body to disk; it gets its name when it is whole."""
        said = request.headers.get("content-length", "")
        folder = await run_in_threadpool(self._app.uploads().session, user)
        left = await run_in_threadpool(_left, folder, name)
        if said and (not said.isdigit() or int(said) > left):
            raise TooLargeError(f"{quoted(name)} is too large: {left} bytes may come", hint="see /upload.json")
        descriptor, partial = tempfile.mkstemp(dir=folder, prefix=".part-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for piece in request.stream():
                    left -= len(piece)
                    if left < 0:
                        raise TooLargeError(f"{quoted(name)} is too large", hint="see /upload.json")
                    await run_in_threadpool(file.write, piece)
                await run_in_threadpool(_settle, file)
            Path(partial).rename(folder / name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(partial).unlink()

    def _queue(self, user: str, name: str) -> Response:
        queue = self._app.uploads()
        try:
            job = queue.from_session(user, name)
        except DistwrightError as error:
            (queue.session(user) / name).unlink(missing_ok=True)  # its sender sends it again when it is right
            status = {NotFound.exit_code: 404, Busy.exit_code: 503}.get(error.exit_code, 400)
            return PlainTextResponse(f"{error.message}\n  try: {error.hint}\n", status)
        place = f"/upload/{job.id}.json"
        return JSONResponse({"upload": job.id, "status": place}, 202, headers={"Location": place})


def _left(folder: Path, name: str) -> int:
    """Say how many bytes a file may have: partial files of a lost connection count until they are swept."""
    with os.scandir(folder) as entries:
        sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
    if len(sizes) >= SESSION_LIMIT_FILES and name not in sizes:
        raise TooLargeError(f"{len(sizes)} files wait already", hint="send their .changes")
    limit = CHANGES_LIMIT_BYTES if name.endswith(".changes") else FILE_LIMIT_BYTES
    return max(0, min(limit, SESSION_LIMIT_BYTES - sum(sizes.values()) + sizes.get(name, 0)))


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
