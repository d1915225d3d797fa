"""Serials that branches and tags pin in git are needed for as long as one of them pins them."""

from pathlib import Path

import pytest
from tests.worlds.installation import WorldContext, make_context
from tests.worlds.repos import commit
from tests.worlds.times import NOW

from distwright.archive.pinning import hold_pins, needs_of_pins, pins_at
from distwright.archive.pins import pin_path
from distwright.errors import BadInput
from distwright.model.serials import Serial
from distwright.repos.pushes import take_in_pushes
from distwright.store.holds import Hold, holds_of_kind, replace_holds, serial_hold
from distwright.tools.git import git

OLD, NEW = Serial("2024011001"), Serial("2024020101")
PIN = pin_path("debian")


@pytest.fixture
def context(tmp_path: Path) -> WorldContext:
    return make_context(tmp_path)


def take_in(context: WorldContext) -> int:
    needs = needs_of_pins(context.database, context.config)
    return take_in_pushes(context.database, context.paths, ["live", "greeter"], context.clock, needs)


def held(context: WorldContext) -> list[Hold]:
    with context.database.read() as tx:
        return holds_of_kind(tx, "serial")


def pinned(ref: str, serial: str, repo: str = "live", archive: str = "debian") -> Hold:
    return serial_hold(f"ref {repo} {ref}", archive, serial, f"pinned in {pin_path(archive)}")


def test_a_push_holds_what_it_pins_until_the_ref_moves_on_or_is_gone(context: WorldContext) -> None:
    commit(context.paths, "live", {PIN: f"{OLD}\n", pin_path("security"): "latest\n"}, branch="stable", tag="1.0")
    commit(context.paths, "greeter", {PIN: f"{NEW}\n"})
    assert take_in(context) == 3
    tag, stable = pinned("refs/tags/1.0", OLD), pinned("refs/heads/stable", OLD)
    greeter = pinned("refs/heads/main", NEW, "greeter")
    assert held(context) == [greeter, stable, tag]
    commit(context.paths, "live", {PIN: f"{NEW}\n"}, branch="stable")
    take_in(context)
    assert held(context) == [greeter, pinned("refs/heads/stable", NEW), tag]
    commit(context.paths, "live", {"README": "thawed"}, branch="stable")
    git(context.paths.repo("live"), "update-ref", "-d", "refs/tags/1.0")
    take_in(context)
    assert held(context) == [greeter]


def test_what_was_recorded_without_holds_is_held_by_one_pass_and_what_is_gone_is_let_go(context: WorldContext) -> None:
    commit(context.paths, "live", {PIN: f"{OLD}\n"}, branch="stable", tag="1.0")
    commit(context.paths, "live", {"README": "no pins"}, branch="devel")
    take_in_pushes(context.database, context.paths, ["live"], context.clock)
    with context.database.write() as tx:
        replace_holds(tx, "ref live refs/heads/gone", [pinned("refs/heads/gone", NEW)], NOW)
        replace_holds(tx, "ref live refs/heads/devel", [pinned("refs/heads/devel", NEW)], NOW)
        replace_holds(tx, "user ada", [serial_hold("user ada", "debian", NEW, "a fair")], NOW)
    assert hold_pins(context) == 4
    assert held(context) == [
        pinned("refs/heads/stable", OLD),
        pinned("refs/tags/1.0", OLD),
        serial_hold("user ada", "debian", NEW, "a fair"),
    ]
    assert hold_pins(context) == 0


def test_a_repo_that_is_only_on_disk_counts_and_one_that_is_gone_does_not(context: WorldContext) -> None:
    commit(context.paths, "retired", {PIN: f"{OLD}\n"})
    with context.database.write() as tx:
        replace_holds(tx, "ref gone refs/heads/main", [pinned("refs/heads/main", NEW, "gone")], NOW)
    assert hold_pins(context) == 2
    assert held(context) == [pinned("refs/heads/main", OLD, "retired")]


@pytest.mark.parametrize("content", ["", "yesterday\n", "2024011001", "x" * 100_000, "20240110\n01"])
def test_a_pin_that_cannot_be_read_stops_no_push_and_is_refused_where_it_is_used(
    context: WorldContext, content: str
) -> None:
    made = commit(context.paths, "live", {PIN: content, pin_path("nobody"): f"{OLD}\n"})
    assert take_in(context) == 1
    assert held(context) == ([pinned("refs/heads/main", OLD)] if content == OLD else [])
    with pytest.raises(
        BadInput, match=r"'config/APT_snapshots\.d/nobody/serial': there is no archive 'nobody'"
    ) as refused:
        pins_at(context.paths.repo("live"), made, ["debian"])
    assert ("neither latest nor a serial" in refused.value.message) is (content != OLD)


def test_an_annotated_tag_pins_what_its_commit_pins(context: WorldContext) -> None:
    commit(context.paths, "live", {PIN: f"{OLD}\n"})
    git(
        context.paths.repo("live"),
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.org",
        "tag",
        "-am",
        "1",
        "1.0",
        "main",
    )
    take_in(context)
    assert pinned("refs/tags/1.0", OLD) in held(context)


def test_thousands_of_refs_are_read_in_one_pass(context: WorldContext) -> None:
    made = commit(context.paths, "live", {PIN: f"{OLD}\n"})
    lines = "".join(f"create refs/tags/t{number} {made}\n" for number in range(2000))
    git(context.paths.repo("live"), "update-ref", "--stdin", stdin=lines.encode())
    assert hold_pins(context) == 2001
    assert len(held(context)) == 2001
