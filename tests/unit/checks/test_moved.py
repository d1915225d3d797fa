"""What moved between two serials: by source, each after what it needs, and environments in which only a part has moved."""

import json
from collections.abc import Mapping

from tests.worlds.packages import MadeDeb, make_deb

from distwright.builds.environment import EnvironmentRecipe
from distwright.checks.moved import Moved, MovedSource, mixed_recipe, moved_sources
from distwright.formats.packages import PackageEntry, package_entry
from distwright.jobs.step import ShelfEntry
from distwright.model.digests import canonical_json, sha256_of

OLD, NEW = sha256_of(b"old"), sha256_of(b"new")


def packages(*debs: MadeDeb) -> Mapping[str, PackageEntry]:
    return {deb.name: package_entry(deb.stanza().encode()) for deb in debs}


def test_the_packages_of_a_source_move_together_and_what_stays_is_not_named() -> None:
    before = packages(make_deb("libx1", "1", source="xx"), make_deb("libx-dev", "1", source="xx"), make_deb("yy", "1"))
    after = packages(make_deb("libx2", "2", source="xx"), make_deb("libx-dev", "2", source="xx"), make_deb("yy", "1"))
    x = MovedSource("xx", "1", "2", {"libx1": ("1", ""), "libx-dev": ("1", "2"), "libx2": ("", "2")})
    assert moved_sources(before, after).ordered() == (x,)
    assert moved_sources(before, after).ordered({"libx-dev", "yy"}) == (x,)
    assert moved_sources(before, after).ordered({"yy"}) == ()


def test_a_source_that_is_gone_or_new_moves_too() -> None:
    before, after = packages(make_deb("gone", "1")), packages(make_deb("new", "2"))
    assert [one.name for one in moved_sources(before, after).ordered()] == [
        "gone 1 (which is gone)",
        "new 2 (which is new)",
    ]


def test_a_version_of_its_own_is_the_packages_not_the_sources() -> None:
    before, after = packages(make_deb("zz", "1.1", source="src (1)")), packages(make_deb("zz", "2.1", source="src (2)"))
    assert moved_sources(before, after).ordered() == (MovedSource("src", "1", "2", {"zz": ("1.1", "2.1")}),)


def test_a_source_comes_after_those_that_it_needs_in_their_new_version() -> None:
    before = packages(make_deb("aa", "1", depends="zz"), make_deb("mm", "1"), make_deb("zz", "1"))
    after = packages(
        make_deb("aa", "2", depends="zz (>= 2), nothing-of-ours"),
        make_deb("mm", "2", depends="zz (>= 1)"),
        make_deb("zz", "2"),
    )
    assert [one.source for one in moved_sources(before, after).ordered()] == ["mm", "zz", "aa"]


def test_sources_that_need_each_other_stay_in_the_order_of_their_names() -> None:
    before = packages(make_deb("aa", "1"), make_deb("bb", "1"))
    after = packages(make_deb("aa", "2", depends="bb (= 2)"), make_deb("bb", "2", depends="aa (= 2)"))
    assert [one.source for one in moved_sources(before, after).ordered()] == ["aa", "bb"]


def test_what_moved_is_kept_with_all_that_its_order_follows_from() -> None:
    before = packages(make_deb("aa", "1", depends="zz"), make_deb("gone", "1"), make_deb("zz", "1"))
    after = packages(make_deb("aa", "2", depends="zz (>= 2)"), make_deb("zz", "2"))
    moved = moved_sources(before, after)
    assert [one.source for one in moved.ordered()] == ["gone", "zz", "aa"]
    assert Moved.from_json(json.loads(canonical_json(moved.to_json()))) == moved


def recipe(document: object) -> EnvironmentRecipe:
    own = ShelfEntry("petrel", "devel", sha256_of(b"ours"), is_own=True)
    return EnvironmentRecipe(
        (ShelfEntry("debian", "stable", sha256_of(str(document).encode())), own),
        {"debian/stable": ("main",), "petrel/devel": ("main",)}, "buildd", (), "amd64", 1,
    )  # fmt: skip


def test_in_a_mixture_both_serials_stand_side_by_side_and_what_has_not_moved_is_held() -> None:
    before, after = recipe(OLD), recipe(NEW)
    held = MovedSource("x", "1", "2", {"libx1": ("1", ""), "libx2": ("", "2"), "x": ("1", "2")})
    gone = MovedSource("y", "3", "2", {"y": ("3", "2"), "y-old": ("3", "")})
    mixed = mixed_recipe(before, after, "debian", [held], [gone])
    assert [(entry.name, entry.document) for entry in mixed.shelf] == [
        ("debian/stable", after.shelf[0].document),
        ("petrel/devel", after.shelf[1].document),
        ("debian~before/stable", before.shelf[0].document),
    ]
    assert mixed.pins == (("libx1", "1"), ("libx2", "!2"), ("x", "1"), ("y", "2"), ("y-old", "!3"))
    assert mixed.preferences().split("\n\n")[:2] == [
        "Package: libx1\nPin: version 1\nPin-Priority: 1001",
        "Package: libx2\nPin: version 2\nPin-Priority: -1",
    ]
    assert mixed.source_lines()[-1] == "deb [trusted=yes] {shelf:debian~before/stable} stable main"
    assert EnvironmentRecipe.from_json(mixed.to_json()) == mixed  # type: ignore[arg-type]
