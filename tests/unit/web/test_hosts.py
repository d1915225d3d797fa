"""What comes to /host: a proof first, over a way that nobody can read along, then bounds; no name becomes a path."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from tests.worlds.hosts import HOST, HOSTED
from tests.worlds.times import NOW
from tests.worlds.work import Workshop, workshop

from distwright import __version__
from distwright.model.digests import sha256_of
from distwright.model.records import HostHealth
from distwright.net.home import HEALTH_HEADER, LOG_PIECE_BYTES, PIECE_BYTES, VERSION_HEADER
from distwright.site.host_requests import HostRequests
from distwright.site.hosts import exchange, health_text, read_health
from distwright.store.arriving import HOST_LIMIT_FILES, Arrivals
from distwright.store.hosts import find_host, offer_enrolment, see_host
from distwright.tools.sandbox import Sandbox
from distwright.web.hosts import Hosts

LOOPBACK, FAR = "127.0.0.1", "192.0.2.7"
CONTENT = b"petrel\n" * 1000
DIGEST = sha256_of(CONTENT)


@dataclass
class Server:
    """The routes of a small installation, and the proof of one host."""

    shop: Workshop
    routes: Starlette
    token: str

    def ask(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        client: str = LOOPBACK,
    ) -> httpx.Response:
        proof = base64.b64encode(f"{HOST}:{self.token}".encode()).decode()
        given = {"Authorization": f"Basic {proof}", VERSION_HEADER: __version__} if headers is None else headers

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.routes, client=(client, 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as asking:
                return await asking.request(method, path, content=content, headers=dict(given))

        return asyncio.run(asked())

    def put(self, digest: str, content: bytes, offset: int = 0, size: int | None = None) -> httpx.Response:
        length = len(content) if size is None else size
        return self.ask("PUT", f"/host/object/{digest}?offset={offset}&size={length}", content)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    shop = workshop(tmp_path / "state", Sandbox(None))
    now = shop.database.now()
    with shop.database.write() as tx:
        offer_enrolment(tx, HOST, sha256_of(b"once"), now.replace(year=now.year + 1))
    token = exchange(shop.database, HOSTED, HOST, "once", __version__, now)
    requests = HostRequests(shop.database, shop.objects, shop.paths, shop.sandbox, lambda: HOSTED, {})
    return Server(shop, Starlette(routes=Hosts(requests).routes()), token)


def test_nothing_is_said_without_a_proof_or_where_somebody_reads_along(server: Server) -> None:
    server.shop.objects.put(CONTENT)
    asked = [("GET", f"/host/object/{DIGEST}"), ("PUT", "/host/log/1/1?offset=0"), ("POST", "/host/hello")]
    for method, path in asked:
        for headers in (
            {},
            {"Authorization": "Basic %%"},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic eDp5"},
        ):
            answer = server.ask(method, path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert CONTENT not in answer.content
        far = server.ask(method, path, client=FAR)
        assert (far.status_code, far.json()["title"]) == (401, "come over https:// only: anybody could read the token")
    assert server.ask("POST", "/host/enrol", client=FAR).status_code == 401
    assert server.ask("GET", f"/host/object/{DIGEST}").content == CONTENT


def test_another_version_is_refused_before_anything_else_is_done(server: Server) -> None:
    proof = base64.b64encode(f"{HOST}:{server.token}".encode()).decode()
    answer = server.ask("POST", "/host/hello", headers={"Authorization": f"Basic {proof}", VERSION_HEADER: "0.0.1"})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "install the same version of distwright on both machines"


@pytest.mark.parametrize("name", ["0" * 63, "..", "%2e%2e%2f%2e%2e%2fkeys", DIGEST.upper(), f"{DIGEST}%00", "x" * 9000])
def test_a_name_that_is_no_digest_reaches_no_file(server: Server, name: str) -> None:
    for method in ("GET", "POST", "PUT"):
        answer = server.ask(method, f"/host/object/{name}?offset=0&size=1", b"x" if method == "PUT" else b"")
        assert answer.status_code in (400, 404, 405), (method, answer.status_code)
    assert list(server.shop.paths.objects.glob("arriving/*/*")) == []


@pytest.mark.parametrize(
    "path", ["/host/log/1/x?offset=0", "/host/log/-1/1?offset=0", "/host/log/1/1", "/host/log/1/1?offset=1e3"]
)
def test_what_is_no_number_is_refused(server: Server, path: str) -> None:
    assert server.ask("PUT", path, b"x").status_code == 400


def test_what_is_too_long_is_not_read(server: Server) -> None:
    assert server.put(DIGEST, b"x" * (PIECE_BYTES + 1)).status_code == 413
    assert server.ask("PUT", "/host/log/1/1?offset=0", b"x" * (LOG_PIECE_BYTES + 1)).status_code == 413


def test_pieces_become_an_object_whatever_comes_twice_or_too_early(server: Server) -> None:
    begun = server.put(DIGEST, CONTENT[:3000], size=7000).json()
    assert begun == {"here": False, "offset": 3000}
    assert server.put(DIGEST, CONTENT[:3000], size=7000).json() == begun, "again"
    assert server.put(DIGEST, CONTENT[5000:], 5000, 7000).json() == begun, "too early"
    assert server.ask("POST", f"/host/object/{DIGEST}?offer").json() == begun
    assert server.put(DIGEST, CONTENT[3000:], 3000, 7000).json() == {"here": True, "offset": 0}
    assert server.shop.objects.read(DIGEST) == CONTENT
    assert server.put(DIGEST, CONTENT[3000:], 3000, 7000).json() == {"here": True, "offset": 0}
    assert list(server.shop.paths.objects.glob("arriving/*/*")) == []


def test_bytes_that_are_not_what_was_promised_are_dropped_and_can_be_sent_again(server: Server) -> None:
    answer = server.put(DIGEST, b"x" * 7000)
    assert (answer.status_code, "was promised" in answer.json()["title"]) == (409, True)
    assert not server.shop.objects.has(DIGEST)
    assert server.put(DIGEST, CONTENT).json()["here"]


def test_an_object_is_never_larger_than_was_said(server: Server) -> None:
    assert server.put(DIGEST, CONTENT, size=10).status_code == 409
    assert server.put(DIGEST, b"x", 0, 1 << 50).status_code == 409
    server.put(DIGEST, CONTENT[:3000], size=7000)
    assert server.put(DIGEST, b"", 0, 2000).json() == {"here": False, "offset": 0}, "another size: it is begun anew"
    assert server.put(DIGEST, CONTENT).json()["here"]


def test_a_host_begins_no_more_objects_than_it_may(server: Server) -> None:
    arrivals = Arrivals(server.shop.objects, server.shop.paths.objects)
    for number in range(HOST_LIMIT_FILES):
        arrivals.append(HOST, sha256_of(str(number).encode()), 0, b"x", 2)
    answer = server.put(DIGEST, CONTENT[:10], size=7000)
    assert (answer.status_code, "has begun to send" in answer.json()["title"]) == (409, True)


def test_ranges_of_an_object_are_given(server: Server) -> None:
    server.shop.objects.put(CONTENT)
    proof = base64.b64encode(f"{HOST}:{server.token}".encode()).decode()
    headers = {"Authorization": f"Basic {proof}", VERSION_HEADER: __version__, "Range": "bytes=6990-"}
    answer = server.ask("GET", f"/host/object/{DIGEST}", headers=headers)
    assert (answer.status_code, answer.content) == (206, CONTENT[6990:])


def test_version_is_told_only_to_who_has_the_token_and_the_token_still_counts_then(server: Server) -> None:
    with server.shop.database.write() as tx:
        offer_enrolment(tx, HOST, sha256_of(b"second"), NOW.replace(year=NOW.year + 99))

    def ask(token: str, version: str) -> httpx.Response:
        proof = base64.b64encode(f"{HOST}:{token}".encode()).decode()
        return server.ask("POST", "/host/enrol", headers={"Authorization": f"Basic {proof}", VERSION_HEADER: version})

    guessed = ask("guess", "0.0.1")
    assert (guessed.status_code, __version__ in guessed.text) == (401, False)
    assert guessed.text == ask("guess", __version__).text
    refused = ask("second", "0.0.1")
    assert (refused.status_code, __version__ in refused.text) == (409, True)
    assert ask("second", __version__).status_code == 200


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("1073741824 0.52", HostHealth(1 << 30, 0.52)),
        ("0 10000.00", HostHealth(0, 10000.0)),
        ("-1 0.52", None),
        ("1 nan", None),
        ("1 1e9", None),
        ("9" * 40 + " 0.00", None),
        ("1 0.52; rm", None),
        ("\u0661 0.52", None),
    ],
)
def test_what_a_host_says_of_itself_is_two_numbers_or_nothing(said: str, kept: HostHealth | None) -> None:
    assert read_health(said) == kept
    assert kept is None or health_text(kept) == said


def test_health_comes_with_any_request_and_what_is_odd_changes_nothing(server: Server) -> None:
    proof = base64.b64encode(f"{HOST}:{server.token}".encode()).decode()
    for said, kept in (("5000 1.50", HostHealth(5000, 1.5)), ("many 1.50", HostHealth(5000, 1.5))):
        with server.shop.database.write() as tx:
            see_host(tx, HOST, "0", NOW)  # long ago: each request is noted
        headers = {"Authorization": f"Basic {proof}", VERSION_HEADER: __version__, HEALTH_HEADER: said}
        assert server.ask("POST", "/host/hello", headers=headers).status_code == 200
        with server.shop.database.read() as tx:
            host = find_host(tx, HOST)
        assert host is not None
        assert host.health == kept
