"""Archives share the first part of a URL with pages and folders; whoever adds one of those takes its name."""

from pathlib import Path

import pytest
from starlette.routing import Mount, Route
from tests.worlds.installation import CONFIG, make_context

from distwright.app import App
from distwright.cli.main import NOUNS
from distwright.config.load import parse_config
from distwright.config.values import TAKEN_NAMES
from distwright.errors import BadConfig
from distwright.flow.engines.embedded import EmbeddedEngine
from distwright.store.objects import FileObjects
from distwright.tools.sandbox import sandbox_for
from distwright.web.application import web_application


def first_words(folder: Path) -> set[str]:
    """Give what stands first in the path of every route, but for the archives' own."""
    context = make_context(folder)
    engine = EmbeddedEngine(folder / "hints")
    app = App(context.paths, context.database, FileObjects(context.paths.objects), sandbox_for(1000), engine)
    paths = [route.path for route in web_application(app).routes if isinstance(route, Route | Mount)]
    assert len(paths) > 8
    words = {path.split("/")[1] for path in paths}
    return {word for word in words if word and not word.startswith("{")}


def test_no_archive_can_have_the_name_of_a_page_or_folder(tmp_path: Path) -> None:
    assert {word.removesuffix(".json") for word in first_words(tmp_path)} <= TAKEN_NAMES


def test_no_archive_can_have_the_name_of_a_noun() -> None:
    assert NOUNS.keys() <= TAKEN_NAMES


@pytest.mark.parametrize("name", ["images", "job", "snapshot", "static", "debian.json"])
def test_an_archive_with_a_taken_name_is_refused_by_its_line(name: str) -> None:
    text = CONFIG.replace("debian/", f"{name}/").replace("[archive.debian]", f'[archive."{name}"]')
    with pytest.raises(BadConfig, match=rf":4 archive\.\S+: '{name}' is taken: /{name} is a page or a folder of ours"):
        parse_config([("distwright.toml", text)])


def test_other_tables_may_have_such_names() -> None:
    text = CONFIG.replace("[suite.devel]", "[suite.images]").replace('suite = "devel"', 'suite = "images"')
    assert "images" in parse_config([("distwright.toml", text.replace("petrel/devel", "petrel/images"))]).suites
