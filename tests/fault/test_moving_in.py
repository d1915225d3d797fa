"""A move that is cut off anywhere: each suite is whole or not there, and the same command again ends as if nothing had happened."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.worlds.archive import Upstream, make_deb, make_source
from tests.worlds.installation import WorldContext
from tests.worlds.killing import NEVER, run_killed_at
from tests.worlds.theirs import everything_in, moving_world

from distwright.archive.from_tree import tree_archive
from distwright.archive.moving_in import MovedSuite, MoveRequest, move_in, scratch_folder
from distwright.archive.suites import packages_of
from distwright.errors import Refused
from distwright.model.records import SuiteState
from distwright.store.holds import all_holds
from distwright.store.suites import find_pool_names, list_suites

STABLE = (make_deb("hello", "1.0"), make_deb("world", architecture="all"), make_source("hello", "1.0"))
NEXT = (make_deb("hello", "2.0"),)
FEWER = 6  # changes that not every run makes: folders of objects are made as needed
KILLED_EACH = 3  # one in so many changes; a whole run is some hundred


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of two suites."""
    upstream = Upstream(suites=("stable", "next"))
    upstream.add(*STABLE, suite="stable")
    upstream.add(*NEXT, suite="next")
    upstream.publish()
    upstream.write(tmp_path / "tree")
    return tmp_path / "tree"


def move(context: WorldContext, tree: Path, *, link: bool = False) -> tuple[MovedSuite, ...]:
    with scratch_folder(context) as scratch:
        return move_in(context, tree_archive(tree, scratch), MoveRequest("petrel", "ada", "tree", {}, link=link))


def in_a_child(context: WorldContext) -> WorldContext:
    return replace(context, database=context.database.reopen())


def rows(context: WorldContext) -> dict[str, SuiteState]:
    with context.database.read() as tx:
        return {row.name: row for row in list_suites(tx)}


def revisions(context: WorldContext) -> dict[str, str]:
    return {name: str(row.revision) for name, row in rows(context).items()}


@pytest.mark.parametrize("link", [False, True])
def test_a_move_that_is_killed_at_any_change_is_finished_by_the_same_command(
    tree: Path, tmp_path: Path, *, link: bool
) -> None:
    whole = moving_world(tmp_path / "whole")
    number = run_killed_at(NEVER, lambda: move(in_a_child(whole), tree, link=link))
    assert number is not None
    wanted = revisions(whole)
    assert set(wanted) == {"devel", "next", "stable"}
    for at in range(1, number - FEWER, KILLED_EACH):
        context = moving_world(tmp_path / f"killed-{at}")
        assert run_killed_at(at, lambda context=context: move(in_a_child(context), tree, link=link)) is None  # type: ignore[misc]
        for name, row in rows(context).items():  # what is there is whole, and held
            assert str(row.revision) == wanted[name], f"{name} at change {at}"
            assert list(packages_of(context.objects, row)) == list(packages_of(whole.objects, rows(whole)[name]))
        with context.database.read() as tx:
            held = {hold.target for hold in all_holds(tx)}
        assert {str(row.revision) for row in rows(context).values()} <= held
        move(context, tree, link=link)
        assert revisions(context) == wanted
        assert not (context.paths.cache / "moving-in").exists()
        context.database.close()


def test_every_file_of_a_finished_move_is_an_object_under_its_name(tree: Path, tmp_path: Path) -> None:
    context = moving_world(tmp_path / "state")
    before = everything_in(tree)
    move(context, tree)
    assert everything_in(tree) == before
    paths = [path for path in before if path.startswith("pool/") and (tree / path).is_file()]
    with context.database.read() as tx:
        names = find_pool_names(tx, "petrel", paths)
    assert {path: before[path][3] for path in paths} == {path: str(digest) for path, digest in names.items()}
    assert all(context.objects.is_intact(digest) for digest in names.values())


def test_a_file_that_changed_keeps_its_suite_out_and_packages_that_are_here_are_not_read_again(
    tree: Path, tmp_path: Path
) -> None:
    context = moving_world(tmp_path / "state")
    move(context, tree)
    first = revisions(context)
    (tree / "pool/main/h/hello/hello_2.0_amd64.deb").write_bytes(make_deb("hello", "2.0", depends="x").content)
    other = moving_world(tmp_path / "other")
    with pytest.raises(Refused, match=r"next: hello 2\.0: .* is not the file that their index says"):
        move(other, tree)
    assert revisions(other) == {name: first[name] for name in ("devel", "stable")}
    move(context, tree)  # what is there already is not even read again
    assert revisions(context) == first
