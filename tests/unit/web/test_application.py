"""The web face: files are never run as pages, ranges are honoured, wrong addresses are 404, and other names get nothing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.requests import record_request
from tests.worlds.archive import DAY, MIRROR, NOW, Upstream, UpstreamFetcher, make_deb
from tests.worlds.installation import CONFIG, make_context
from tests.worlds.web import Browser

from distwright.app import App, open_app
from distwright.archive.record import record
from distwright.images.public import show_image
from distwright.site.applied import apply_config
from distwright.site.views import snapshots
from distwright.web.application import HEADERS, web_application

EVIL = "pool/main/e/evil/evil.html"
FILES = {
    "dists/devel/InRelease": b"signed\n",
    "dists/devel/main/by-hash/SHA256/00": b"x" * 100,
    EVIL: b"<script>alert(1)</script>",
    "pool/main/e/evil/evil_1.dsc": b"Format: 3.0\n",
    "pool/main/e/evil/evil_1.deb": bytes(range(256)) * 4000,
}
DEB = "pool/main/e/evil/evil_1.deb"
RANGES = {
    "bytes=2-4": slice(2, 5),
    "bytes=3-": slice(3, None),
    "bytes=-2": slice(-2, None),
    "bytes=1-999999999": slice(1, None),
    "bytes=-999999999": slice(None),
}
IS_FIXED = {
    f"/petrel/{DEB}": True,
    "/petrel/dists/devel/main/by-hash/SHA256/00": True,
    "/petrel/dists/devel/InRelease": False,
}


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An installation with a recorded archive and a few published files."""
    upstream = Upstream()
    upstream.add(make_deb("hello"))
    upstream.publish()
    context = make_context(tmp_path / "state", upstream)
    context.fetcher = UpstreamFetcher({MIRROR: upstream})
    record(record_request(), context, context.paths.cache / "pool")
    context.database.close()
    app = open_app(str(tmp_path / "state"))
    text = CONFIG.replace('name = "Petrel"', 'name = "Petrel"\nurl = "https://build.petrel.example/"', 1)
    files = {"distwright.toml": text}
    apply_config(files, {}, "0" * 40, database=app.database, objects=app.objects, paths=app.paths, now=app.now())
    for tree, names in (("petrel", FILES), ("images", {"one/x.manifest.json": b"{}", "one/x.svg": b"<svg/>"})):
        for path, content in names.items():
            file = app.paths.public / tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return app


@pytest.fixture
def web(app: App) -> Iterator[Browser]:
    yield Browser(web_application(app))
    app.database.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/job.json", "application/json"),
        ("/static/style.css", "text/css; charset=utf-8"),
        (f"/petrel/{EVIL}", "application/octet-stream"),
        (f"/petrel/{DEB}", "application/octet-stream"),
        ("/petrel/pool/main/e/evil/evil_1.dsc", "text/plain; charset=utf-8"),
        ("/petrel/dists/devel/InRelease", "text/plain; charset=utf-8"),
        ("/debian/dists/stable/InRelease", "text/plain; charset=utf-8"),
        ("/debian/dists/stable/main/binary-amd64/Packages.xz", "application/octet-stream"),
        ("/images/one/x.manifest.json", "text/plain; charset=utf-8"),
        ("/images/one/x.svg", "application/octet-stream"),
        ("/nothing/at/all", "text/plain; charset=utf-8"),
        ("/job/7.json", "application/problem+json"),
    ],
)
def test_every_answer_says_what_it_is_and_that_nothing_in_it_is_to_be_run(web: Browser, path: str, kind: str) -> None:
    answer = web.get(path)
    assert answer.headers["content-type"] == kind
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "path",
    [
        "/job/99999999999999999999",
        "/job/99999999999999999999.json",
        "/job/99999999999999999999/log",
        f"/job/{2**63 - 1}",
        f"/job/{2**63}",
        "/job/0",
        f"/job/{'9' * 5000}",
        "/job/x",
        "/job/-1",
        "/petrel/%00",
        f"/petrel/{'a' * 5000}",
        f"/petrel/{'a/' * 3000}",
        "/petrel/",
        "/petrel/dists",
        "/debian/%00",
        f"/debian/pool/{'a' * 5000}",
        "/images/%00",
        f"/images/{'a' * 5000}",
        "/images/%00/",
        f"/images/{'a' * 5000}/",
        f"/images/{'a' * 5000}.json",
        "/images/one/",
        "/archive/%00",
        f"/archive/{'a' * 5000}.json",
        "/static/%00",
        f"/static/{'a' * 5000}",
        "/%00/x",
        "/petrel/..%2f..%2fdb.sqlite",
    ],
)
def test_an_address_of_nothing_is_not_found(web: Browser, path: str) -> None:
    assert web.get(path).status_code == 404


def test_pool_files_of_all_snapshots_have_one_address(web: Browser, app: App) -> None:
    pool = "pool/main/h/hello/hello_1.0_amd64.deb"
    [serial] = [row.serial for row in snapshots(app.database, "debian")]
    for place in (
        f"debian/{serial}",
        f"debian/snapshots/{serial}",
        "petrel/snapshots/1.0~rc1",
        "petrel/snapshots/2030010101",
    ):
        answer = web.get(f"/{place}/{pool}")
        assert (answer.status_code, answer.headers["location"]) == (307, f"/{place.partition('/')[0]}/{pool}")


def test_a_file_that_upstream_made_anew_under_its_name_is_served_by_each_snapshot_itself(
    web: Browser, app: App
) -> None:
    pool = "pool/main/h/hello/hello_1.0_amd64.deb"
    versions = {}
    for number, depends in enumerate(("", "libc6")):
        upstream, deb = Upstream(), make_deb("hello", depends=depends)
        upstream.add(deb)
        upstream.publish(NOW + number * DAY)
        context = replace(app.command_context(), fetcher=UpstreamFetcher({MIRROR: upstream}))
        row = record(replace(record_request(), accept_expired=True), context, app.paths.cache / "pool").row
        app.objects.put(deb.content)  # a test has no upstream
        versions[row.serial] = deb.content
    old, new = versions
    assert len(set(versions.values())) == 2
    frozen = web.get(f"/debian/{old}/{pool}")
    assert (frozen.status_code, frozen.content) == (200, versions[old])
    assert web.get(f"/debian/{new}/{pool}").headers["location"] == f"/debian/{pool}"
    assert web.get(f"/debian/{pool}").content == versions[new]


def test_a_recorded_snapshot_is_served_below_its_serial_and_below_snapshots(web: Browser, app: App) -> None:
    [serial] = [row.serial for row in snapshots(app.database, "debian")]
    for path in ("dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.xz"):
        answers = [web.get(f"/debian/{place}{path}") for place in ("", f"{serial}/", f"snapshots/{serial}/")]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert len({answer.content for answer in answers}) == 1
    for place in (
        "snapshots/1999010101",
        "1999010101",
        f"snapshots/{serial}/{serial}",
        f"snapshots/snapshots/{serial}",
    ):
        assert web.get(f"/debian/{place}/dists/stable/InRelease").status_code == 404


@pytest.mark.parametrize(
    "url", [f"/petrel/{DEB}", "/debian/pool/main/h/hello/hello_1.0_amd64.deb", "/images/one/x.svg"]
)
def test_one_range_is_honoured_in_every_archive(web: Browser, app: App, url: str) -> None:
    if url.startswith("/debian"):  # a file that was fetched before: a test has no upstream
        url = "/debian/dists/stable/main/binary-amd64/Packages.xz"
    whole = web.get(url)
    size = len(whole.content)
    assert (whole.status_code, whole.headers["accept-ranges"], whole.headers["content-length"]) == (
        200,
        "bytes",
        str(size),
    )
    for asked, part in RANGES.items():
        answer = web.get(url, headers={"Range": asked})
        first = range(size)[part].start
        assert (answer.status_code, answer.content) == (206, whole.content[part])
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{size}"
        assert answer.headers["content-length"] == str(len(answer.content))
    for asked in (
        "bytes=0-1,3-4",
        "bytes=4-2",
        "bytes=-",
        "lines=1-2",
        "bytes=a-b",
        "bytes= 1-2",
        f"bytes={'9' * 30}-",
    ):
        answer = web.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, whole.content)
    beyond = web.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"], beyond.content) == (416, f"bytes */{size}", b"")
    head = web.get(url, method="HEAD")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")


def test_what_a_client_has_already_is_not_sent_again(web: Browser) -> None:
    for url, is_fixed in IS_FIXED.items():
        first = web.get(url)
        tag, date = first.headers["etag"], first.headers["last-modified"]
        for known in (tag, f'"x", W/{tag}', "*"):
            answer = web.get(url, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
        assert web.get(url, headers={"If-None-Match": '"x"', "If-Modified-Since": date}).status_code == 200
        assert web.get(url, headers={"If-Modified-Since": date}).status_code == (304 if is_fixed else 200)
        assert web.get(url, headers={"If-Modified-Since": "Tue, 01 Jan 2030 00:00:00 GMT"}).status_code == 200
        for condition, status in ((tag, 206), (date, 206 if is_fixed else 200), ('"x"', 200)):
            answer = web.get(url, headers={"Range": "bytes=1-2", "If-Range": condition})
            assert (answer.status_code, len(answer.content)) == (status, 2 if status == 206 else len(first.content))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:8080", 200), ("build.petrel.example", 200),
        ("evil.example", 400), ("evil.example:8080", 400), ("127.0.0.1.evil.example", 400), ("x/'\"><script>", 400), ("", 400),
        ("petrel.example", 400),
    ],
)  # fmt: skip
def test_only_our_own_names_are_answered_to(web: Browser, host: str, status: int) -> None:
    answer = web.get("/archive/debian", headers={"Host": host})
    assert answer.status_code == status
    assert (f"uris: http://{host.lower()}/debian" in answer.text.lower()) == (status == 200)
    assert "evil" not in answer.text


def test_the_front_page_has_every_file_of_a_published_image(app: App) -> None:
    made = {f"petrel-1.{ending}": app.objects.put(ending.encode()) for ending in ("iso", "usb.img", "sources", "log")}
    made["SHA256SUMS"] = app.objects.put(b"sums")
    show_image(app.paths.public / "images", "petrel-1", made, app.objects)
    web = Browser(web_application(app), "http://localhost")
    links = re.findall(r'href="(/images/[^"]+)"', web.get("/").text)
    assert links == [f"/images/petrel-1/{name}" for name in sorted(made)]
    assert [web.get(link).content for link in links] == [app.objects.read(made[name]) for name in sorted(made)]
    assert web.get("/images/petrel-1/petrel-1.sources").headers["Content-Type"] == "text/plain; charset=utf-8"
    app.database.close()


def test_the_page_comes_without_a_folder_of_images(app: App) -> None:
    for file in sorted((app.paths.public / "images").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (app.paths.public / "images").rmdir()
    web = Browser(web_application(app), "http://localhost")
    assert web.get("/").status_code == 200
    assert not (app.paths.public / "images").exists()
    assert web.get("/images/x").status_code == 404
    app.database.close()


def test_reports_of_tests_are_no_images(app: App) -> None:
    images = app.paths.public / "images"
    for name, file in (("petrel-1", "SHA256SUMS"), ("petrel-1-test-bios", "report.html")):
        (images / ".complete" / name).mkdir(parents=True)
        (images / ".complete" / name / file).touch()
        (images / name).symlink_to(f".complete/{name}")
    text = Browser(web_application(app), "http://localhost").get("/").text
    assert "petrel-1" in text
    assert "petrel-1-test-bios" not in text
    app.database.close()
