"""Files as answers: whole, or one range of them; never as anything that a browser would run."""

import os
import re
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# Files of archives and images that people read; whatever else a package brings along is bytes to be saved.
_TEXT = re.compile(
    r"(?:.*/)?(?:(?:In)?Release|Release\.gpg|Packages|Sources|Contents-[a-z0-9-]+|Translation-[A-Za-z_@-]+|SHA256SUMS"
    r"|[^/]+\.(?:asc|buildinfo|changes|dsc|ipxe|json|list|log|packages|source-packages|sources|txt))"
)


def answer_file(request: Request, file: BinaryIO, path: str) -> Response:
    """Answer GET or HEAD with an open file, which is closed in the end. path: decides on its type, and whether it may ever change.

    One range is honoured, several give the whole file (RFC 9110, 14.2). A file below pool/ or by-hash/ never changes, so its date
    says which it is; two InReleases may be of the same second, so only an ETag speaks for them.
    """
    status = os.fstat(file.fileno())
    size, date = status.st_size, formatdate(status.st_mtime, usegmt=True)
    tag = f'"{status.st_mtime_ns:x}-{size:x}-{status.st_ino:x}"'
    is_fixed = path.startswith("pool/") or "/by-hash/" in path
    headers = {"ETag": tag, "Last-Modified": date, "Accept-Ranges": "bytes", "Content-Type": _type_of(path)}
    if _is_unchanged(request.headers, tag, date, is_fixed=is_fixed):
        file.close()
        return Response(status_code=304, headers=headers)
    wanted = _wanted_range(request.headers, tag, date, size, is_fixed=is_fixed)
    if wanted is not None and not wanted:
        file.close()
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    part = wanted if wanted is not None else range(size)
    headers["Content-Length"] = str(len(part))
    if wanted is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    code = 200 if wanted is None else 206
    if request.method == "HEAD":
        file.close()
        return Response(status_code=code, headers=headers)
    return StreamingResponse(_pieces(file, part), code, headers)


def _type_of(path: str) -> str:
    return "text/plain; charset=utf-8" if _TEXT.fullmatch(path) else "application/octet-stream"


def _is_unchanged(asked: Mapping[str, str], tag: str, date: str, *, is_fixed: bool) -> bool:
    known = asked.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in known.split(",")}
    return is_fixed and asked.get("if-modified-since") == date


def _wanted_range(asked: Mapping[str, str], tag: str, date: str, size: int, *, is_fixed: bool) -> range | None:
    """Give the bytes that are wanted; None for the whole file, an empty range for what the file does not have."""
    found = _RANGE.fullmatch(asked.get("range", "").strip())
    condition = asked.get("if-range")
    if not found or (condition is not None and condition != tag and not (is_fixed and condition == date)):
        return None
    first, last = found[1], found[2]
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)


async def _pieces(file: BinaryIO, part: range) -> AsyncIterator[bytes]:
    with file:
        await run_in_threadpool(file.seek, part.start)
        left = len(part)
        while left > 0 and (piece := await run_in_threadpool(file.read, min(_CHUNK, left))):
            left -= len(piece)
            yield piece
