"""Package files that a recipe brings along, read by apt beside an archive: exactly they are installed, newer ones or not."""

from pathlib import Path

import pytest
from tests.worlds.apt import make_apt_of
from tests.worlds.installation import make_context
from tests.worlds.packages import MadeDeb, make_deb

from distwright.archive.intake import take_deb
from distwright.archive.made_suite import made_entry
from distwright.archive.shelf import Shelf
from distwright.archive.tree import TreeEntry, build_tree
from distwright.builds.environment import EnvironmentRecipe
from distwright.images.own_packages import own_preferences, with_own_packages
from distwright.jobs.step import ShelfEntry
from distwright.model.versions import DebVersion
from distwright.net.listen import LoopbackServer
from distwright.store.objects import ObjectStore

OURS = make_deb("ours", "1.0", content={"usr/share/ours": "of the recipe"})


def suite_of(objects: ObjectStore, deb: MadeDeb) -> ShelfEntry:
    taken = take_deb(str(objects.local_path(objects.put(deb.content))))
    entry = TreeEntry(taken.list_name, taken.name, DebVersion(taken.version), taken.stanza)
    return made_entry(objects, build_tree([entry], objects.put), ("main",), "amd64", "_archive", "stable")


@pytest.mark.parametrize("version", ["0.9", "1.0", "2.0"])
def test_apt_takes_the_recipes_package_whatever_version_the_archive_has(place: Path, version: str) -> None:
    context = make_context(place / "state")
    theirs = suite_of(context.objects, make_deb("ours", version, content={"usr/share/ours": "of the archive"}))
    root = EnvironmentRecipe((theirs,), {theirs.name: ("main",)}, "minbase", ("ours",), "amd64", 0)
    root, names = with_own_packages(root, {"ours_1.0_amd64.deb": OURS.content}, context.objects)
    shelf = Shelf(root.shelf, context, context.paths.cache / "pool")
    with LoopbackServer(shelf.find) as server:
        apt = make_apt_of(place / "apt", "")
        lines = [line.replace(f"{{shelf:{entry.name}}}", f"{server.url}/{entry.folder}")
                 for line, entry in zip(root.source_lines(), root.shelf, strict=True)]  # fmt: skip
        (apt.folder / "etc" / "sources.list").write_text("".join(f"{line}\n" for line in lines))
        (apt.folder / "etc" / "preferences.d" / "00recipe").write_bytes(own_preferences(names))
        assert apt.update().exit_code == 0
        assert apt.download(*root.include).exit_code == 0
    assert list(apt.here().values()) == [OURS.content]
    assert [f"{file.archive}/{file.suite}" for file in shelf.fetched] == ["_recipe/recipe"]
