"""What a signature promises is fetched exactly, or not kept at all; every refusal names the address."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher
from tests.worlds.installation import make_context

from distwright.archive.fetching import fetch_object
from distwright.errors import NotFound, Refused, Unreachable
from distwright.model.digests import sha256_of
from distwright.net.fetcher import NO_VALIDATORS, Fetcher, Page, Validators
from distwright.store.database import Database
from distwright.store.memory import MemoryObjects
from distwright.store.objects import FileObjects, ObjectStore

CONTENT = b"0123456789" * 35
URL = f"{MIRROR}/pool/main/h/hello/hello_1.0_amd64.deb"


@dataclass
class Holdings:
    """An installation of which only objects and the way out count."""

    database: Database
    fetcher: Fetcher
    objects: ObjectStore = field(default_factory=MemoryObjects)
    alternates: Sequence[FileObjects] = ()


def holdings(served: bytes | None) -> Holdings:
    files = {} if served is None else {URL.removeprefix(f"{MIRROR}/"): served}
    return Holdings(Database("sqlite://"), UpstreamFetcher({MIRROR: Upstream(files=files)}, piece_bytes=100))


def test_the_right_bytes_are_kept() -> None:
    ours = holdings(CONTENT)
    fetch_object(ours, URL, sha256_of(CONTENT), len(CONTENT))
    assert ours.objects.read(sha256_of(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("served", "problem"),
    [
        (CONTENT + b"!", "is larger than the 350 bytes that were signed"),
        (CONTENT * 9, "is larger than the 350 bytes that were signed"),
        (CONTENT[:-1], "has 349 bytes, 350 were signed: cut off, or another version"),
        (b"", "has 0 bytes, 350 were signed: cut off, or another version"),
        (CONTENT[::-1], f"has SHA-256 {sha256_of(CONTENT[::-1])}, {sha256_of(CONTENT)} was signed"),
    ],
    ids=["one byte more", "much more", "one byte less", "empty", "same size"],
)
def test_other_bytes_are_refused_by_address_and_not_kept(served: bytes, problem: str) -> None:
    ours = holdings(served)
    with pytest.raises(Refused) as caught:
        fetch_object(ours, URL, sha256_of(CONTENT), len(CONTENT))
    assert caught.value.message == f"{URL} {problem}"
    assert list(ours.objects.digests()) == []


def test_a_file_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        fetch_object(holdings(None), URL, sha256_of(CONTENT), len(CONTENT))


class BreaksOff:
    """A fetcher whose connection ends early."""

    def fetch(self, url: str, *, limit_bytes: int) -> Iterator[bytes]:
        yield CONTENT[:200]
        raise Unreachable(f"{url} cannot be fetched: the connection ended", hint="check the network")

    def fetch_page(self, url: str, *, limit_bytes: int, known: Validators = NO_VALIDATORS) -> Page | None:
        return Page(b"".join(self.fetch(url, limit_bytes=limit_bytes)))


def test_a_connection_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    ours = Holdings(Database("sqlite://"), BreaksOff(), FileObjects(tmp_path))
    with pytest.raises(Unreachable, match="the connection ended"):
        fetch_object(ours, URL, sha256_of(CONTENT), len(CONTENT))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_alternate_on_this_machine_is_asked_first_and_a_rotten_one_is_passed_over(tmp_path: Path) -> None:
    rotten, good = FileObjects(tmp_path / "rotten"), FileObjects(tmp_path / "good")
    for alternate in (rotten, good):
        alternate.put(CONTENT)
    path = rotten.path(sha256_of(CONTENT))
    path.chmod(0o644)
    path.write_bytes(b"x" * len(CONTENT))
    ours = holdings(None)
    ours.alternates = (rotten, good)
    fetch_object(ours, URL, sha256_of(CONTENT), len(CONTENT))
    assert ours.objects.read(sha256_of(CONTENT)) == CONTENT


def test_the_context_of_the_worlds_is_holdings(tmp_path: Path) -> None:
    context = make_context(tmp_path, Upstream(files={"x": b"y"}))
    fetch_object(context, f"{MIRROR}/x", sha256_of(b"y"), 1)
    assert context.objects.has(sha256_of(b"y"))
