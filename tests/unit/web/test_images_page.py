"""The pages of images say the same as the command: each build by its full name, and its files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.worlds.archive import UpstreamFetcher
from tests.worlds.based import LATER, TERN, Based, record_all
from tests.worlds.commands import CommandLine, command_line
from tests.worlds.installation import CONFIG, WorldContext
from tests.worlds.suite import OwnSuite
from tests.worlds.web import Browser

from distwright.app import open_app
from distwright.images.public import show_image
from distwright.model.embargo import Embargo
from distwright.store.embargoes import set_embargo
from distwright.web.application import web_application


@dataclass(frozen=True)
class Shown:
    """An installation that shows two builds of one image. names: full ones, the newest first."""

    line: CommandLine
    web: Browser
    world: Based
    names: tuple[str, ...]


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    line = command_line(tmp_path, CONFIG)
    app = open_app(str(line.state))
    context = WorldContext(app.paths, app.database, app.objects, UpstreamFetcher({}))
    world = Based(context, OwnSuite(context))
    record_all(context)
    names = []
    for package in (TERN, LATER):
        world.hold(package)
        world.push()
        names.append(world.build())
        made = {f"{names[-1]}.iso": app.objects.put(b"an iso"), "SHA256SUMS": app.objects.put(b"sums")}
        show_image(app.paths.public / "images", names[-1], made, app.objects)
    yield Shown(line, Browser(web_application(app)), world, (names[1], names[0]))
    app.database.close()


def test_an_image_has_a_page_with_its_builds_and_all_of_them_one_too(shown: Shown) -> None:
    rows = shown.line.run("image", "list", as_json=True).answer
    assert [row["name"] for row in rows] == list(shown.names)
    for place in ("/images", "/images/petrel"):
        page, document = shown.web.get(f"{place}/"), shown.web.get(f"{place}.json").json()
        assert page.status_code == 200
        assert [(row["name"], row["iso sha256"], row["built"]) for row in document] == [
            (row["name"], row["iso sha256"], row["built"]) for row in rows
        ]
        links = [f'<a href="/images/{name}/">{name}</a>' for name in shown.names]
        assert [page.text.index(link) for link in links] == sorted(page.text.index(link) for link in links)
        assert str(shown.line.state) not in page.text + str(document), "no path of this machine"


def test_a_build_has_a_page_with_its_files(shown: Shown) -> None:
    name = shown.names[0]
    page, document = shown.web.get(f"/images/{name}/").text, shown.web.get(f"/images/{name}.json").json()
    assert [(row["file"], row["bytes"]) for row in document["files"]] == [("SHA256SUMS", 4), (f"{name}.iso", 6)]
    for row in document["files"]:
        assert f'href="{row["url"]}"' in page
        assert len(shown.web.get(row["url"]).content) == row["bytes"]


def test_the_list_of_the_command_has_full_names(shown: Shown) -> None:
    text = shown.line.run("image", "list").text
    assert [line.split()[0] for line in text.splitlines()] == ["name", *shown.names]


def test_an_image_without_builds_has_an_empty_page_and_an_unknown_one_none(shown: Shown) -> None:
    for name in shown.names:
        (shown.line.state / "public" / "images" / name).unlink()
    assert "None was built yet, or none is kept." in shown.web.get("/images/petrel/").text
    assert shown.web.get("/images/petrel.json").json() == []
    for place in ("/images/nothing/", "/images/nothing.json", f"/images/{shown.names[0]}/"):
        assert shown.web.get(place).status_code == 404


def test_what_is_private_is_on_no_page(shown: Shown) -> None:
    rows = [job for job in shown.line.run("job", "list", as_json=True).answer if job["kind"] == "image.build"]
    with shown.world.context.database.write() as tx:
        set_embargo(tx, max(row["job"] for row in rows), Embargo(frozenset({"repo/secret"})))
    assert [row["name"] for row in shown.web.get("/images/petrel.json").json()] == [shown.names[1]]
    assert shown.web.get(f"/images/{shown.names[0]}/").status_code == 404
    assert len(shown.line.run("image", "list", as_json=True).answer) == 2
