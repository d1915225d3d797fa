"""Fetch files from upstream mirrors: over HTTP with reused connections, or from a mounted disk (file:)."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import urllib3

from distwright.errors import BadUsage, NotFound, Unreachable, quoted
from distwright.net.fetcher import NO_VALIDATORS, Page, Validators

CONNECT_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 60.0
_CHUNK = 1 << 18
_NOT_FOUND = (404, 410)
_NOT_MODIFIED = 304
RETRY_DELAY_S = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a body may come: fewer bytes a second than this, over a window, are too few."""

    bytes_per_s: int
    window_s: float


SLOWEST = Pace(1000, 60.0)


class NetFetcher:
    """The real thing. Thread-safe."""

    def __init__(
        self,
        *,
        agent: str,
        proxy: str | None = None,
        retry_delay_s: float = RETRY_DELAY_S,
        slowest: Pace = SLOWEST,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        """agent: User-Agent that mirrors see. proxy: URL of an HTTP proxy, as apt's Acquire::http::Proxy says.

        retry_delay_s: pause before the third try, doubled for each of the two after it. slowest: a body that comes slower is given
        up. check_cancelled: called before each request and while a body comes, at least once in READ_TIMEOUT_S; what it raises ends
        the fetch.
        """
        self._slowest = slowest
        self._check_cancelled = check_cancelled
        tries = urllib3.Retry(
            total=4, backoff_factor=retry_delay_s, status_forcelist=(429, 500, 502, 503, 504), redirect=5,
            respect_retry_after_header=False,  # a server must not make a worker sleep; the job is tried again later
        )  # fmt: skip
        headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        if proxy:
            self._pool: urllib3.PoolManager = urllib3.ProxyManager(
                proxy, headers=headers, timeout=timeout, retries=tries, maxsize=8
            )
        else:
            self._pool = urllib3.PoolManager(headers=headers, timeout=timeout, retries=tries, maxsize=8)

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        """Yield the content in pieces."""
        scheme = _scheme(url)
        if scheme == "file":
            pieces = _from_disk(url)
        elif scheme in ("http", "https"):
            pieces = self._body(url, self._asked(url, {}))
        else:
            raise BadUsage(f"cannot fetch {quoted(url)}", hint="use an address that begins with http:, https: or file:")
        yield from _within(url, pieces, limit_bytes)

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        """Give the whole content, or None if it is unchanged."""
        if _scheme(url) not in ("http", "https"):
            return Page(b"".join(self.fetch(url, limit_bytes=limit_bytes)))
        named = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
        asked = {name: value for name, value in named.items() if value}
        response = self._asked(url, asked)
        if asked and response.status == _NOT_MODIFIED:
            response.drain_conn()
            response.close()
            return None
        content = b"".join(_within(url, self._body(url, response), limit_bytes))
        return Page(content, Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")))

    def _asked(self, url: str, more: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        self._check_cancelled()
        try:
            return self._pool.request("GET", url, preload_content=False, headers={**self._pool.headers, **more})
        except (urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: a redirect to what is no address
            raise _unreachable(url, error) from error

    def _body(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            if response.status in _NOT_FOUND:
                raise NotFound(f"{quoted(url)} is not on the server ({response.status})", hint="try another mirror")
            if response.status != 200:
                raise Unreachable(f"{quoted(url)} answers {response.status}", hint="try again later, or another mirror")
            yield from self._in_time(url, response)
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(url, error) from error
        finally:
            # After the whole body the connection is back in the pool; with a rest in it, it must not get there.
            response.close()

    def _in_time(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """Read what comes when it comes: waiting for a whole chunk, a body of one byte a minute would never be noticed."""
        began, received = time.monotonic(), 0
        while piece := response.read1(_CHUNK, decode_content=False):
            self._check_cancelled()
            received += len(piece)
            yield piece
            took_s = time.monotonic() - began
            if took_s > self._slowest.window_s:
                if received < self._slowest.bytes_per_s * took_s:
                    raise Unreachable(
                        f"{quoted(url)} comes at less than {self._slowest.bytes_per_s} bytes a second",
                        hint="try again later, or name another mirror in fetch_from",
                    )
                began, received = time.monotonic(), 0


def _within(url: str, pieces: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    received = 0
    for piece in pieces:
        received += len(piece)
        if received > limit_bytes:
            raise Unreachable(
                f"{quoted(url)} sends more than {limit_bytes} bytes",
                hint="compare the address with what the mirror serves",
            )
        yield piece


def _scheme(url: str) -> str:
    """Give the scheme of an address; "" for what is none."""
    try:
        scheme, _, path, _, _ = urlsplit(url)
    except ValueError:
        return ""
    return "" if "\0" in unquote(path) else scheme


def _open_regular(path: Path) -> BinaryIO:
    """Open a file that ends: a pipe would keep us waiting, and a device never end. Raises OSError."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115  # whoever opens it closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file")
    return file


def _from_disk(url: str) -> Iterator[bytes]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with _open_regular(path) as file:
            while piece := file.read(_CHUNK):
                yield piece
    except FileNotFoundError:
        raise NotFound(f"{quoted(url)} does not exist", hint="try another mirror") from None
    except OSError as error:
        raise Unreachable(
            f"{quoted(url)} cannot be read: {error.strerror}", hint="mount the disk, or name another mirror"
        ) from error


def _unreachable(url: str, error: Exception) -> Unreachable:
    reason = getattr(error, "reason", None) or error
    return Unreachable(
        f"{quoted(url)} cannot be fetched: {quoted(str(reason))}",
        hint="check the network, or name another mirror in fetch_from",
    )
