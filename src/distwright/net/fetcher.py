"""What gets the bytes behind a URL, as everything but the network itself sees it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said by which it knows a version of a page again; empty if it said nothing (RFC 9110, section 8.8)."""

    etag: str = ""
    modified: str = ""


NO_VALIDATORS = Validators()


@dataclass(frozen=True, slots=True)
class Page:
    """A small file in memory, and what to ask with next time."""

    content: bytes
    validators: Validators = NO_VALIDATORS


class Fetcher(Protocol):
    """Gets the bytes behind a URL; tests use one that answers from memory."""

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        """Yield the content in pieces.

        Raises NotFound (404, 410, no such file), Unreachable (no answer, broken off, too slow, more than limit_bytes, another
        status).
        """
        ...

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        """Give the whole content, or None if the server says that it still is what `known` came with. Raises as `fetch` does."""
        ...


class LateFetcher:
    """A fetcher that is made when it is first asked: most commands fetch nothing, and HTTP takes a tenth of their start."""

    def __init__(self, make: Callable[[], Fetcher]) -> None:
        """Use what `make` gives, once."""
        self._make = make
        self._lock = Lock()
        self._made: Fetcher | None = None

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        """Yield the content in pieces."""
        return self._real().fetch(url, limit_bytes=limit_bytes)

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        """Give the whole content, or None if it is unchanged."""
        return self._real().fetch_page(url, limit_bytes=limit_bytes, known=known)

    def again(self) -> "LateFetcher":
        """Give another one, for a forked process: one connection cannot be read by two."""
        return LateFetcher(self._make)

    def _real(self) -> Fetcher:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
