"""What an image of a topic is made of once its base is merged: the recipe and the changelog of a commit that nobody pushed."""

from pathlib import Path

from tests.worlds.repos import changelog, commit

from distwright.formats.changelog import top_entry
from distwright.images.recipe import parse_recipe
from distwright.images.resolve import _image_file
from distwright.repos.merged import Merged, merged_commit
from distwright.store.paths import StatePaths
from distwright.tools.git import file_at, files_at, git

FILES = {"debian/changelog": changelog("live", "1.0"), "config/package-lists/base.list.chroot": "sudo\n"}


def test_recipe_of_a_merge_has_what_topic_and_base_say(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path)
    paths.make()
    commit(paths, "live", FILES)
    git(paths.repo("live"), "branch", "topic")
    topic = commit(paths, "live", {**FILES, "config/package-lists/more.list.chroot": "htop\n"}, branch="topic")
    base = commit(
        paths,
        "live",
        {**FILES, "debian/changelog": changelog("live", "1.1"), "config/includes.chroot/etc/motd": "hi\n"},
    )
    merged = merged_commit(paths, "live", topic, base)
    assert isinstance(merged, Merged)
    recipe = parse_recipe(
        [_image_file(blob, "config") for blob in files_at(merged.where, merged.commit, "config/")], {}
    )
    assert recipe.packages == ("htop", "sudo")
    assert [file.path for file in recipe.includes] == ["etc/motd"]
    text = file_at(merged.where, merged.commit, "debian/changelog")
    assert text is not None
    assert str(top_entry(text.decode()).version) == "1.1"
