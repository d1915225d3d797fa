"""The page of an archive: what to paste for each state, its tags, and its uploads; nothing that a person wrote is run."""

from pathlib import Path

import pytest
from tests.worlds.archive import make_deb, make_source, make_upload
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.web import Browser

from distwright.app import open_app
from distwright.model.digests import canonical_json
from distwright.web.application import web_application

SERIAL, REASON = "2030010101", "release <b>1.0</b>"


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """A published suite, a snapshot that is served, one that is not, and a tag."""
    line = command_line(tmp_path)
    line.run("suite", "add", "devel", line.files(make_deb("hello"), make_source("hello")), "--publish")
    assert line.run("snapshot", "take", "petrel", "--serial", SERIAL, "--publish").exit_code == 0
    assert line.run("snapshot", "take", "petrel", "--serial", "2030010102").exit_code == 0
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(
        canonical_json({"format": 1, "image": "x", "states": {}, "packages": [], "mentioned": ["hello"]})
    )
    tagged = line.run("snapshot", "tag", "petrel", "1.0", "--manifest", str(manifest), "--reason", REASON)
    assert tagged.exit_code == 0, tagged.said
    return line


def browser(line: CommandLine) -> Browser:
    return Browser(web_application(open_app(str(line.state))))


def test_the_page_shows_what_to_paste_for_every_state_that_is_served(line: CommandLine) -> None:
    web = browser(line)
    page = web.get("/archive/petrel").text
    for path in (f"/archive/petrel/{SERIAL}.sources", "/archive/petrel/1.0.sources", "/petrel/dists/devel/Release"):
        assert f'href="{path}"' in page
        assert web.get(path).status_code == 200
    assert "2030010102" not in page, "nobody could read it"
    assert ("release &lt;b&gt;1.0&lt;/b&gt;" in page, "<b>" in page) == (True, False)
    assert web.get("/archive/petrel.json").json()["tags"][0]["tag"] == "1.0"


@pytest.mark.parametrize(("state", "option"), [(SERIAL, "--serial"), ("1.0", "--tag")])
def test_the_page_and_the_command_give_the_same_sources(line: CommandLine, state: str, option: str) -> None:
    text = browser(line).get(f"/archive/petrel/{state}.sources").text
    url = "http://127.0.0.1:8080/petrel"
    assert f"URIs: {url}/snapshots/{state}\nSuites: devel\n" in text
    printed = line.run("archive", "sources", "petrel", "devel", "--url", url, option, state)
    assert printed.text in text


def test_states_that_nobody_can_read_are_not_handed_out(line: CommandLine) -> None:
    web = browser(line)
    for path in ("2030010102", "2029010101", "2.0", "..%2f1.0", "x" * 300):
        assert web.get(f"/archive/petrel/{path}.sources").status_code == 404, path
    assert web.get("/archive/nobody/1.0.sources").status_code == 404
    done = line.run("archive", "sources", "petrel", "devel", "--serial", "2030010102")
    assert (done.exit_code, "snapshot 2030010102 of petrel is not served" in done.said) == (10, True)
    for words in (("--tag", "2.0"), ("--serial", "2029010101")):
        assert line.run("archive", "sources", "petrel", "devel", *words).exit_code == 10
    assert line.run("archive", "sources", "petrel", "nobody", "--tag", "1.0").exit_code == 10


def test_the_page_shows_the_queue_of_uploads(line: CommandLine, tmp_path: Path) -> None:
    assert "Nothing was uploaded yet" in browser(line).get("/archive/petrel").text
    upload = make_upload(make_source("world"), make_deb("world"))
    for name, content in {**upload.files, upload.changes_name: upload.changes}.items():
        (tmp_path / name).write_bytes(content)
    done = line.run("upload", "file", "--no-wait", str(tmp_path / upload.changes_name))
    assert done.exit_code == 0, done.said
    web = browser(line)
    (row,) = web.get("/archive/petrel.json").json()["uploads"]
    assert (row["suite"], row["result"]) == ("petrel/devel", "waiting")
    page = web.get("/archive/petrel").text
    assert f'<a href="/job/{row["upload"]}">{row["upload"]}</a>' in page
    assert "world_1.0_amd64.changes" in page
    assert "Nothing was uploaded yet" in web.get("/archive/other").text
