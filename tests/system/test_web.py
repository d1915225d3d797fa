"""The pages of a real installation: every link answers, nothing comes from outside, errors are readable."""

import json
import re
import subprocess

import pytest
from tests.system.conftest import KilledLine

pytestmark = pytest.mark.system


def get(url: str) -> tuple[int, str, str]:
    argv = [
        "curl",
        "--silent",
        "--path-as-is",
        "--max-time",
        "60",
        "--write-out",
        "\n%{http_code} %{content_type}",
        url,
    ]
    body, _, last = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    code, _, kind = last.partition(" ")
    return int(code), kind, body


def test_every_page_and_link_answers_and_names_nothing_outside(killed_line: KilledLine) -> None:
    with killed_line.line.serving() as url:
        seen: set[str] = set()
        left = ["/"]
        while left:
            path = left.pop()
            seen.add(path)
            code, kind, body = get(f"{url}{path}")
            assert code == 200, path
            if not kind.startswith("text/html"):
                continue
            links = re.findall(r'(?:href|src)="([^"]+)"', body)
            assert all(link.startswith("/") for link in links), (path, links)
            not_text = (".iso", ".usb.img", ".squashfs", ".initrd.img", ".vmlinuz", ".torrent", ".bundle")
            left += [
                link for link in set(links) if link not in seen and link not in left and not link.endswith(not_text)
            ]
        assert {"/", "/job", "/archive/debian", "/archive/petrel", "/static/style.css"} <= seen
        assert any(path.endswith("/log") for path in seen)
        assert any(path.endswith(".manifest.json") for path in seen)


def test_pages_say_the_same_as_json_and_name_their_command(killed_line: KilledLine) -> None:
    with killed_line.line.serving() as url:
        front = json.loads(get(f"{url}/index.json")[2])
        ended = {row["stage"]: row["result"] for row in front["line"] if row["stage"] != "record"}
        assert ended == dict.fromkeys(("build", "accept", "publish", "install", "image", "boot"), "ok")
        assert "distwright job list" in get(f"{url}/")[2]
        for path in ("/job.json", "/job/1.json", "/archive/debian.json", "/archive/petrel.json"):
            code, kind, body = get(f"{url}{path}")
            assert (code, kind) == (200, "application/json")
            json.loads(body)


def test_wrong_addresses_are_refused_with_words_and_give_nothing_away(killed_line: KilledLine) -> None:
    with killed_line.line.serving() as url:
        assert get(f"{url}/job/999999")[0] == 404
        code, kind, body = get(f"{url}/job/999999.json")
        assert (code, kind) == (404, "application/problem+json")
        assert json.loads(body)["detail"] == "distwright job list"
        for path in (
            "/petrel/../../keys/builder.pgp",
            "/petrel/%2e%2e/%2e%2e/keys/builder.pgp",
            "/images/..%2f..%2fdb.sqlite",
            "/debian/pool/../../../etc/passwd",
            "/petrel//etc/passwd",
            "/nothing/at/all",
        ):
            assert get(f"{url}{path}")[0] == 404, path
