"""What every fetcher does, the one of the worlds included, and how the real one bears a bad network."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.worlds.archive import MIRROR, Upstream, UpstreamFetcher
from tests.worlds.mirror import Answer, Mirror, Request, answer, one_after_the_other, serving

from distwright.errors import BadUsage, DistwrightError, Interrupted, NotFound, Unreachable
from distwright.net.fetch import NetFetcher, Pace
from distwright.net.fetcher import NO_VALIDATORS, Fetcher, Page, Validators

CONTENT = bytes(range(256)) * 4000
LIMIT = 1 << 24


@dataclass(frozen=True)
class Served:
    """A fetcher, and the base URL of something that has CONTENT at `dists/stable/Release file+1`."""

    fetcher: Fetcher
    url: str


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as served:
        yield served


@pytest.fixture
def fetcher() -> NetFetcher:
    return NetFetcher(agent="test", retry_delay_s=0)


@pytest.fixture(params=["http", "file", "world"])
def served(request: pytest.FixtureRequest, mirror: Mirror, fetcher: NetFetcher, tmp_path: Path) -> Served:
    if request.param == "http":
        mirror.answers["/dists/stable/Release%20file+1"] = answer(200, CONTENT)
        return Served(fetcher, mirror.url)
    if request.param == "file":
        file = tmp_path / "dists" / "stable" / "Release file+1"
        file.parent.mkdir(parents=True)
        file.write_bytes(CONTENT)
        return Served(fetcher, f"file://{tmp_path}")
    upstream = Upstream(files={"dists/stable/Release%20file+1": CONTENT})
    return Served(UpstreamFetcher({MIRROR: upstream}, piece_bytes=100_000), MIRROR)


def test_content_comes_in_pieces_that_make_the_whole(served: Served) -> None:
    pieces = list(served.fetcher.fetch(f"{served.url}/dists/stable/Release%20file+1", limit_bytes=len(CONTENT)))
    assert b"".join(pieces) == CONTENT
    assert len(pieces) > 1


def test_what_is_not_there_is_not_found(served: Served) -> None:
    with pytest.raises(NotFound):
        _fetched(served.fetcher, f"{served.url}/dists/stable/InRelease")


def test_more_than_the_limit_is_refused_as_soon_as_it_is_seen(served: Served) -> None:
    received: list[bytes] = []
    pieces = served.fetcher.fetch(f"{served.url}/dists/stable/Release%20file+1", limit_bytes=len(CONTENT) // 2)
    with pytest.raises(Unreachable, match=f"sends more than {len(CONTENT) // 2} bytes"):
        received.extend(pieces)
    assert CONTENT.startswith(b"".join(received))
    assert sum(map(len, received)) <= len(CONTENT) // 2


def test_empty_file_is_a_file(fetcher: NetFetcher, mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/empty"] = answer(200)
    (tmp_path / "empty").touch()
    assert [_fetched(fetcher, f"{base}/empty") for base in (mirror.url, f"file://{tmp_path}")] == [b"", b""]


def test_a_pipe_or_a_device_on_disk_is_no_file(fetcher: NetFetcher, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "."):
        with pytest.raises(Unreachable, match="cannot be read"):
            _fetched(fetcher, f"file://{tmp_path}/{name}")


def test_a_page_comes_whole_and_is_known_again_where_the_server_says_so(served: Served) -> None:
    url = f"{served.url}/dists/stable/Release%20file+1"
    page = served.fetcher.fetch_page(url, limit_bytes=LIMIT)
    assert page is not None
    assert page.content == CONTENT
    again = served.fetcher.fetch_page(url, limit_bytes=LIMIT, known=page.validators)
    assert again == (page if page.validators == NO_VALIDATORS else None)
    with pytest.raises(NotFound):
        served.fetcher.fetch_page(f"{served.url}/nothing", limit_bytes=LIMIT)
    with pytest.raises(Unreachable, match="sends more than 10 bytes"):
        served.fetcher.fetch_page(url, limit_bytes=10)


# Over HTTP


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (Validators('"x"'), {"If-None-Match": '"x"'}),
        (Validators(modified="Wed"), {"If-Modified-Since": "Wed"}),
        (Validators('W/"x"', "Wed"), {"If-None-Match": 'W/"x"', "If-Modified-Since": "Wed"}),
        (NO_VALIDATORS, {}),
    ],
)
def test_a_page_is_asked_for_by_what_its_server_said(
    fetcher: NetFetcher, mirror: Mirror, known: Validators, asked: dict[str, str]
) -> None:
    mirror.answers["/x"] = answer(304) if asked else answer(200, b"whole", ETag='"y"', Last_Modified="Thu")
    page = fetcher.fetch_page(f"{mirror.url}/x", limit_bytes=LIMIT, known=known)
    assert page == (None if asked else Page(b"whole", Validators('"y"', "Thu")))
    [(_, headers)] = mirror.asked
    assert {name: headers[name] for name in headers if name.startswith("If-")} == asked


def test_an_answer_that_says_unchanged_without_being_asked_is_no_page(fetcher: NetFetcher, mirror: Mirror) -> None:
    mirror.answers["/x"] = answer(304)
    with pytest.raises(Unreachable, match="answers 304"):
        fetcher.fetch_page(f"{mirror.url}/x", limit_bytes=LIMIT)


def test_mirrors_see_who_asks_and_that_bytes_are_wanted_as_they_are(mirror: Mirror) -> None:
    mirror.answers["/Packages.gz"] = answer(200, b"\x1f\x8b compressed", Content_Encoding="gzip")
    fetched = _fetched(NetFetcher(agent="distwright/0 (test)", retry_delay_s=0), f"{mirror.url}/Packages.gz")
    ((path, headers),) = mirror.asked
    wanted = {"User-Agent": "distwright/0 (test)", "Accept-Encoding": "identity"}
    assert (fetched, path, wanted.items() <= headers.items()) == (b"\x1f\x8b compressed", "/Packages.gz", True)


@pytest.mark.parametrize("status", [404, 410])
def test_missing_file_is_not_asked_for_again(fetcher: NetFetcher, mirror: Mirror, status: int) -> None:
    mirror.answers["/gone"] = answer(status, b"<h1>No</h1>")
    with pytest.raises(NotFound, match=rf"/gone' is not on the server \({status}\)"):
        _fetched(fetcher, f"{mirror.url}/gone")
    assert len(mirror.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 418])
def test_other_refusals_are_named_and_not_asked_for_again(fetcher: NetFetcher, mirror: Mirror, status: int) -> None:
    mirror.answers["/x"] = answer(status, b"<h1>No</h1>")
    with pytest.raises(Unreachable, match=f"/x' answers {status}"):
        _fetched(fetcher, f"{mirror.url}/x")
    assert len(mirror.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_server_in_trouble_is_asked_five_times(fetcher: NetFetcher, mirror: Mirror, status: int) -> None:
    mirror.answers["/x"] = answer(status, b"<h1>Later</h1>")
    with pytest.raises(Unreachable, match=rf"/x' cannot be fetched: 'too many {status} error responses'"):
        _fetched(fetcher, f"{mirror.url}/x")
    assert len(mirror.asked) == 5


def test_server_cannot_make_us_wait_for_hours(fetcher: NetFetcher, mirror: Mirror) -> None:
    """A worker that slept as long as Retry-After says could not be cancelled; the job itself is tried again later."""
    mirror.answers["/x"] = answer(503, Retry_After="86400")
    with pytest.raises(Unreachable):
        _fetched(fetcher, f"{mirror.url}/x")


def test_trouble_that_passes_is_not_noticed(fetcher: NetFetcher, mirror: Mirror) -> None:
    mirror.answers["/x"] = one_after_the_other(answer(503), answer(500), answer(200, CONTENT))
    assert _fetched(fetcher, f"{mirror.url}/x") == CONTENT


def test_body_that_breaks_off_is_unreachable_and_never_whole(fetcher: NetFetcher, mirror: Mirror) -> None:
    mirror.answers["/x"] = answer(200, CONTENT, length=len(CONTENT) + 1)
    with pytest.raises(Unreachable, match=r"/x' cannot be fetched: .*1 more expected"):
        _fetched(fetcher, f"{mirror.url}/x")


def dripping(is_over: threading.Event) -> Answer:
    """Answer with a byte every twentieth of a second, for ever."""

    def respond(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        while not is_over.wait(0.05):
            request.wfile.write(b"x")

    return respond


def test_body_that_only_drips_is_given_up(mirror: Mirror) -> None:
    """Each byte comes in time, so that no timeout of a socket ever notices."""
    is_over = threading.Event()
    mirror.answers["/x"] = dripping(is_over)
    impatient = NetFetcher(agent="test", retry_delay_s=0, slowest=Pace(1000, 0.5))
    with pytest.raises(Unreachable, match="/x' comes at less than 1000 bytes a second"):
        _fetched(impatient, f"{mirror.url}/x")
    is_over.set()


def test_body_with_a_pause_in_a_good_pace_is_fetched(mirror: Mirror) -> None:
    def respond(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[:500_000])
        threading.Event().wait(0.7)
        request.wfile.write(CONTENT[500_000:])

    mirror.answers["/x"] = respond
    assert _fetched(NetFetcher(agent="test", slowest=Pace(1000, 0.5)), f"{mirror.url}/x") == CONTENT


def test_cancel_ends_a_fetch_in_the_middle_of_a_body(mirror: Mirror) -> None:
    is_over, received = threading.Event(), list[bytes]()
    mirror.answers["/x"] = dripping(is_over)

    def check_cancelled() -> None:
        if len(received) == 3:
            raise Interrupted("job 1 was cancelled", hint="distwright job retry 1")

    fetcher = NetFetcher(agent="test", check_cancelled=check_cancelled)
    with pytest.raises(Interrupted, match="job 1 was cancelled"):
        received.extend(fetcher.fetch(f"{mirror.url}/x", limit_bytes=LIMIT))
    assert len(received) == 3
    is_over.set()


def test_redirect_is_followed_and_a_loop_is_not(fetcher: NetFetcher, mirror: Mirror) -> None:
    mirror.answers["/here"] = answer(302, Location="/there")
    mirror.answers["/there"] = answer(200, CONTENT)
    assert _fetched(fetcher, f"{mirror.url}/here") == CONTENT
    mirror.answers["/there"] = answer(301, Location="/here")
    with pytest.raises(Unreachable, match="/here' cannot be fetched: 'too many redirects'"):
        _fetched(fetcher, f"{mirror.url}/here")


@pytest.mark.parametrize("elsewhere", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "http://[/x"])
def test_redirect_to_another_scheme_reads_nothing(fetcher: NetFetcher, mirror: Mirror, elsewhere: str) -> None:
    mirror.answers["/x"] = answer(302, Location=elsewhere)
    with pytest.raises(Unreachable):
        _fetched(fetcher, f"{mirror.url}/x")


def test_nobody_listening_is_unreachable(fetcher: NetFetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=r"cannot be fetched: .*Connection refused"):
        _fetched(fetcher, f"http://127.0.0.1:{port}/x")


def test_fetch_that_was_given_up_does_not_disturb_the_next(fetcher: NetFetcher, mirror: Mirror) -> None:
    """What is left of a body that nobody reads must not be taken for the beginning of the next answer."""
    mirror.answers["/large"] = answer(200, CONTENT * 8)
    mirror.answers["/small"] = answer(200, b"small")
    mirror.answers["/gone"] = answer(404, CONTENT * 8)
    for _ in range(5):
        with pytest.raises(Unreachable, match="sends more than 10 bytes"):
            list(fetcher.fetch(f"{mirror.url}/large", limit_bytes=10))
        assert _fetched(fetcher, f"{mirror.url}/small") == b"small"
        with pytest.raises(NotFound):
            _fetched(fetcher, f"{mirror.url}/gone")
        first = next(fetcher.fetch(f"{mirror.url}/large", limit_bytes=LIMIT))
        assert first
        assert (CONTENT * 8).startswith(first)
        assert _fetched(fetcher, f"{mirror.url}/small") == b"small"
    assert [path for path, _ in mirror.asked] == ["/large", "/small", "/gone", "/large", "/small"] * 5


def test_fetch_that_was_given_up_while_its_server_was_slow_costs_one_connection(
    fetcher: NetFetcher, mirror: Mirror
) -> None:
    given_up, waited = threading.Event(), list[bool]()

    def slow(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[: 1 << 18])
        waited.append(given_up.wait(10))

    mirror.answers["/slow"] = slow
    mirror.answers["/small"] = answer(200, b"small")
    with pytest.raises(Unreachable, match="sends more than 10 bytes"):
        list(fetcher.fetch(f"{mirror.url}/slow", limit_bytes=10))
    assert _fetched(fetcher, f"{mirror.url}/small") == b"small"
    assert waited == [], "the next fetch waited for the server of the one before"
    given_up.set()
    assert [path for path, _ in mirror.asked] == ["/slow", "/small"]


def test_connection_is_used_again_after_a_whole_body(fetcher: NetFetcher, mirror: Mirror) -> None:
    mirror.answers["/x"] = answer(200, CONTENT)
    for _ in range(10):
        _fetched(fetcher, f"{mirror.url}/x")
    assert len(mirror.connections) == 1


def test_fetcher_serves_many_threads_at_once(fetcher: NetFetcher, mirror: Mirror) -> None:
    bodies = {f"/{number}": bytes([number]) * 100_000 for number in range(32)}
    mirror.answers.update({path: answer(200, body) for path, body in bodies.items()})
    with ThreadPoolExecutor(8) as threads:
        fetched = dict(
            zip(bodies, threads.map(lambda path: _fetched(fetcher, f"{mirror.url}{path}"), bodies), strict=True)
        )
    assert fetched == bodies


def test_proxy_is_asked_for_what_is_wanted(mirror: Mirror) -> None:
    mirror.answers["http://deb.example/debian/x"] = answer(200, b"through the proxy")
    proxied = NetFetcher(agent="test", proxy=mirror.url, retry_delay_s=0)
    assert _fetched(proxied, "http://deb.example/debian/x") == b"through the proxy"


# From disk, and from nowhere


def test_folder_cannot_be_fetched(fetcher: NetFetcher, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be read: Is a directory"):
        _fetched(fetcher, f"file://{tmp_path}")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://mirror.example/x",
        "mirror.example/x",
        "/etc/passwd",
        "",
        "javascript:x",
        "http://[",
        "http://[::1/x",
        "file:///a%00b",
    ],
)
def test_what_is_no_address_is_refused(fetcher: NetFetcher, url: str) -> None:
    with pytest.raises(BadUsage, match="cannot fetch"):
        _fetched(fetcher, url)


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///x", "http://a..example/x", "http://" + "a" * 70 + ".example/", "http://127.0.0.1:99999/"],
)
def test_address_without_a_host_is_an_error_of_ours(fetcher: NetFetcher, url: str) -> None:
    with pytest.raises(DistwrightError):
        _fetched(fetcher, url)


def _fetched(fetcher: Fetcher, url: str) -> bytes:
    return b"".join(fetcher.fetch(url, limit_bytes=LIMIT))
